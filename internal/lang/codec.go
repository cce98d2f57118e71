package lang

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Frame is one message of the worker protocol.
type Frame struct {
	Type byte   // FrameReady, ...
	Seq  uint32 // of the call; 0 outside a call
	Meta []byte // at most 65535 bytes
	Body []byte
}

// errFrame is wrapped by every error about bytes that are not a frame: the other side is broken and must be ended.
var errFrame = errors.New("worker protocol broken")

// firstRead bounds what is reserved on the word of a frame's head alone; more is reserved as bytes arrive.
const firstRead = 64 << 10

// AppendFrame appends the bytes of a frame to dst. The caller keeps to the limits: meta at most 65535 bytes, all of it at
// most MaxFrameBytes.
func AppendFrame(dst []byte, f Frame) []byte { return append(AppendHead(dst, f), f.Body...) }

// AppendHead appends the bytes of a frame but those of its body, which are to follow.
func AppendHead(dst []byte, f Frame) []byte {
	dst = appendHead(dst, f.Type, f.Seq, len(f.Meta), len(f.Body))
	return append(dst, f.Meta...)
}

func appendHead(dst []byte, kind byte, seq uint32, meta, body int) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(meta+body))
	dst = append(dst, kind, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(meta))
	return binary.BigEndian.AppendUint32(dst, seq)
}

// ReadFrame reads one frame. It uses the capacity of buf, and more when that is too small; Meta and Body share the
// memory of one array, so a caller that hands the same buf in again gives them up.
//
// A frame whose meta and body together are over limit bytes is refused before they are read. Errors: io.EOF when the stream ends
// before a frame, io.ErrUnexpectedEOF when it ends inside one, what r returns, or one that says how the protocol is
// broken. After any error the stream is of no more use.
func ReadFrame(r io.Reader, buf []byte, limit int) (Frame, error) {
	buf = slices.Grow(buf[:0], FrameHead)[:FrameHead]
	if _, err := io.ReadFull(r, buf); err != nil {
		return Frame{}, err
	}
	f, meta, size, err := readHead(buf, limit)
	if err != nil {
		return Frame{}, err
	}
	all, err := ReadBytes(r, buf[:0], size)
	if err != nil {
		return Frame{}, err
	}
	f.Meta, f.Body = all[:meta:meta], all[meta:]
	return f, nil
}

// CutFrame reads the frame at the beginning of p, whose memory it shares, and gives what stands behind it. Errors: as of ReadFrame.
func CutFrame(p []byte, limit int) (f Frame, rest []byte, err error) {
	if len(p) < FrameHead {
		return Frame{}, nil, io.ErrUnexpectedEOF
	}
	f, meta, size, err := readHead(p, limit)
	switch {
	case err != nil:
		return Frame{}, nil, err
	case len(p) < FrameHead+size:
		return Frame{}, nil, io.ErrUnexpectedEOF
	}
	all, rest := p[FrameHead:FrameHead+size], p[FrameHead+size:]
	f.Meta, f.Body = all[:meta:meta], all[meta:]
	return f, rest, nil
}

// readHead reads what stands before meta and body, whose sizes it gives: of meta, and of both together.
func readHead(p []byte, limit int) (f Frame, meta, size int, err error) {
	announced, meta := binary.BigEndian.Uint32(p), int(binary.BigEndian.Uint16(p[6:]))
	f = Frame{Type: p[4], Seq: binary.BigEndian.Uint32(p[8:])}
	switch {
	case !isFrameType(f.Type):
		return Frame{}, 0, 0, fmt.Errorf("%w: frame of type %d", errFrame, f.Type)
	case p[5] != 0:
		return Frame{}, 0, 0, fmt.Errorf("%w: byte 5 is %d", errFrame, p[5])
	case announced > uint32(min(limit, MaxFrameBytes)):
		return Frame{}, 0, 0, fmt.Errorf("%w: frame of %d bytes, over %d", errFrame, announced, limit)
	case meta > int(announced):
		return Frame{}, 0, 0, fmt.Errorf("%w: meta of %d bytes in a frame of %d", errFrame, meta, announced)
	}
	return f, meta, int(announced), nil
}

func isFrameType(t byte) bool {
	return t >= FrameReady && t <= FrameStopped || t == FrameDial || t == FrameDialed || t == FrameAsk || t == FrameTold
}

// ReadBytes reads n bytes into buf, which grows with what has arrived and not with what was announced.
func ReadBytes(r io.Reader, buf []byte, n int) ([]byte, error) {
	for len(buf) < n {
		have := len(buf)
		want := min(n, max(cap(buf), 4*have, firstRead))
		buf = slices.Grow(buf, want-have)[:want]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return buf, nil
}

// AppendLoad appends the FrameLoad that makes a worker the function of l.
func AppendLoad(dst []byte, l Load) []byte {
	body, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return AppendFrame(dst, Frame{Type: FrameLoad, Body: body})
}

// AppendCall appends the FrameCall of a call: its deadline, its request id (ASCII, no zero byte) and its event (JSON
// text). extra may be the zero value.
func AppendCall(dst []byte, seq uint32, deadline time.Time, requestID string, extra CallExtra, event []byte) []byte {
	var more []byte
	if extra != (CallExtra{}) {
		var err error
		if more, err = json.Marshal(extra); err != nil {
			panic(err) // strings only
		}
		more = append([]byte{0}, more...)
	}
	dst = appendHead(dst, FrameCall, seq, 8+len(requestID)+len(more), len(event))
	dst = binary.BigEndian.AppendUint64(dst, uint64(deadline.UnixMilli()))
	dst = append(dst, requestID...)
	dst = append(dst, more...)
	return append(dst, event...)
}

// What is sent of a failure, in bytes: enough for people, and under what a server keeps.
const (
	maxMessage = 64 << 10
	maxStack   = 128 << 10
)

// FailedFrame answers a load or a call with a failure of a kind. Of a long one only so much is told as people read.
func FailedFrame(seq uint32, kind byte, f Failure) Frame {
	if len(f.Message) > maxMessage {
		f.Message = f.Message[:maxMessage]
	}
	if len(f.Type) > 200 {
		f.Type = f.Type[:200]
	}
	left := maxStack
	for i, line := range f.Stack {
		if left -= len(line) + 1; left < 0 {
			f.Stack = f.Stack[:i]
			break
		}
	}
	if f.Stack == nil {
		f.Stack = []string{}
	}
	body, err := json.Marshal(f)
	if err != nil {
		panic(err) // strings only
	}
	return Frame{Type: FrameFailed, Seq: seq, Meta: []byte{kind}, Body: body}
}

// CallHead reads what AppendCall put before the event.
func (f Frame) CallHead() (deadline time.Time, requestID string, extra CallExtra, err error) {
	if f.Type != FrameCall || len(f.Meta) < 8 {
		return deadline, "", extra, fmt.Errorf("%w: a call with %d bytes of meta", errFrame, len(f.Meta))
	}
	id, more, _ := strings.Cut(string(f.Meta[8:]), "\x00")
	if more != "" {
		if err := json.Unmarshal([]byte(more), &extra); err != nil {
			return deadline, "", extra, fmt.Errorf("%w: a call head that is not JSON: %w", errFrame, err)
		}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(f.Meta))), id, extra, nil
}

// PeakKiB gives the peak resident memory of the worker that a FrameResult carries, in KiB.
func (f Frame) PeakKiB() (int64, error) {
	if f.Type != FrameResult || len(f.Meta) != 4 {
		return 0, fmt.Errorf("%w: a result with %d bytes of meta", errFrame, len(f.Meta))
	}
	return int64(binary.BigEndian.Uint32(f.Meta)), nil
}

// Failure gives the Fail byte and the Failure that a FrameFailed carries.
func (f Frame) Failure() (kind byte, failure Failure, err error) {
	if f.Type != FrameFailed || len(f.Meta) != 1 {
		return 0, Failure{}, fmt.Errorf("%w: a failure with %d bytes of meta", errFrame, len(f.Meta))
	}
	if err := json.Unmarshal(f.Body, &failure); err != nil {
		return 0, Failure{}, fmt.Errorf("%w: a failure that is not JSON: %w", errFrame, err)
	}
	return f.Meta[0], failure, nil
}

// Beat gives what the heartbeat handler said, as a FrameBeaten carries it.
func (f Frame) Beat() (well bool, err error) {
	if f.Type != FrameBeaten || len(f.Meta) != 1 || f.Meta[0] > 1 {
		return false, fmt.Errorf("%w: a heartbeat with %d bytes of meta", errFrame, len(f.Meta))
	}
	return f.Meta[0] == 1, nil
}

// FailCode translates a Fail byte to the code of an expected failure.
func FailCode(kind byte) (faas.Code, error) {
	switch kind {
	case FailLoad:
		return faas.CodeLoad, nil
	case FailInit:
		return faas.CodeInit, nil
	case FailException, FailLast:
		return faas.CodeException, nil
	case FailExit:
		return faas.CodeExit, nil
	case FailResult:
		return faas.CodeResult, nil
	case FailTooLarge:
		return faas.CodeResultTooLarge, nil
	}
	return "", fmt.Errorf("%w: a failure of kind %d", errFrame, kind)
}

// AppendLogLines appends what one line of a worker's output says, without its line end: one line, or two when a marked
// one begins behind text that the function has left without a line end. Text without LogMark is LevelInfo.
func AppendLogLines(dst []faas.LogLine, at time.Time, line string) []faas.LogLine {
	for i := strings.IndexByte(line, LogMark); i >= 0 && i+1 < len(line); {
		if level := logLevel(line[i+1]); level != "" {
			if i > 0 {
				dst = append(dst, faas.LogLine{Time: at, Level: faas.LevelInfo, Text: line[:i]})
			}
			return append(dst, faas.LogLine{Time: at, Level: level, Text: strings.ReplaceAll(line[i+2:], string(LogBreak), "\n")})
		}
		next := strings.IndexByte(line[i+1:], LogMark)
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return append(dst, faas.LogLine{Time: at, Level: faas.LevelInfo, Text: line})
}

// CutCall reads to which call a line of a worker's output belongs, where calls run side by side, and gives the line as
// AppendLogLines reads it. A line without a number, and one that begins behind foreign text, belongs to call 0: to none.
func CutCall(line string) (seq uint32, rest string) {
	if len(line) < 4 || line[0] != LogMark || line[2] != LogCall {
		return 0, line
	}
	digits, text, ok := strings.Cut(line[3:], string(LogCall))
	n, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil {
		return 0, line
	}
	return uint32(n), line[:2] + text
}

func logLevel(letter byte) string {
	switch letter {
	case 'D':
		return faas.LevelDebug
	case 'L':
		return faas.LevelLog
	case 'I':
		return faas.LevelInfo
	case 'W':
		return faas.LevelWarn
	case 'E':
		return faas.LevelError
	}
	return ""
}
