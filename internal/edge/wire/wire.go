// Package wire is what the cloud and a gateway say to each other: topics, documents and their signatures.
//
// It is plain data with the rules that both ends hold. It must not know files, databases, brokers or connections, and reads no
// clock. JSON names are the protocol: an unknown field is ignored by the reader, so that either end can be newer.
package wire

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// The bounds of messages, in bytes.
const (
	MaxPacket   = 256 << 10 // a whole MQTT packet, as sent
	MaxMessage  = 4 << 20   // JSON, once unpacked
	MaxPayload  = 64 << 10  // payload of one message of a route, as its sender made it
	MaxEvent    = 128 << 10 // event of a KindInvoke
	MaxResult   = 128 << 10 // output of a KindInvoke, and text of a KindLogs or KindDiagnose
	packFrom    = 1 << 10   // messages of this size and more are sent packed
	gzipMagic   = 0x1f
	jsonOpening = '{'
)

// ErrTooLarge is what does not fit a message.
var ErrTooLarge = errors.New("the message is larger than the link carries")

// Encode gives a message as JSON in UTF-8, packed by gzip where that pays. Error: ErrTooLarge where the result is over MaxPacket
// less 1 KiB for the topic.
func Encode(message any) ([]byte, error) {
	text, err := Canonical(message)
	if err != nil {
		return nil, err
	}
	if len(text) >= packFrom {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err = w.Write(text); err == nil {
			err = w.Close()
		}
		if err != nil {
			return nil, err
		}
		text = packed.Bytes()
	}
	if len(text) > MaxPacket-1<<10 {
		return nil, ErrTooLarge
	}
	return text, nil
}

// Decode reads what Encode has made, or the same JSON unpacked.
func Decode(data []byte, message any) error {
	if len(data) > 0 && data[0] == gzipMagic {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return fmt.Errorf("wire: packed message: %w", err)
		}
		if data, err = io.ReadAll(io.LimitReader(r, MaxMessage+1)); err != nil {
			return fmt.Errorf("wire: packed message: %w", err)
		}
	}
	if len(data) > MaxMessage {
		return ErrTooLarge
	}
	if len(data) == 0 || data[0] != jsonOpening {
		return errors.New("wire: the message is no JSON object")
	}
	if err := json.Unmarshal(data, message); err != nil {
		return fmt.Errorf("wire: %w", err)
	}
	return nil
}

// Canonical gives the one JSON text of a value of this package: fields in the order of their struct, keys of maps sorted, no
// blanks, "<", ">" and "&" as they are.
func Canonical(v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
