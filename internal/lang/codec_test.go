package lang

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

func TestFrameRoundTrip(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 3<<20)
	frames := []Frame{
		{Type: FrameReady, Meta: []byte{}, Body: []byte{}},
		{Type: FrameResult, Seq: 7, Meta: []byte{0, 0, 1, 0}, Body: []byte(`{"a":1}`)},
		{Type: FrameFailed, Seq: 1<<32 - 1, Meta: []byte{FailException}, Body: big},
	}
	var wire []byte
	for _, f := range frames {
		wire = AppendFrame(wire, f)
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(wire), "halves": iotest.HalfReader(bytes.NewReader(wire))} {
		t.Run(name, func(t *testing.T) {
			for _, want := range frames {
				got, err := ReadFrame(r, nil, MaxFrameBytes)
				require.NoError(t, err)
				require.True(t, want.Type == got.Type && want.Seq == got.Seq && bytes.Equal(want.Meta, got.Meta) && bytes.Equal(want.Body, got.Body))
			}
			_, err := ReadFrame(r, nil, MaxFrameBytes)
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestReadFrameReusesBuffer(t *testing.T) {
	wire := AppendFrame(nil, Frame{Type: FrameResult, Meta: make([]byte, 4), Body: []byte("{}")})
	buf := make([]byte, 0, 64)
	r := bytes.NewReader(wire)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		r.Reset(wire)
		if _, err := ReadFrame(r, buf, MaxFrameBytes); err != nil {
			t.Fatal(err)
		}
	}))
}

func TestReadFrameRefuses(t *testing.T) {
	head := func(size uint32, kind, zero byte, meta uint16) []byte {
		b := binary.BigEndian.AppendUint32(nil, size)
		b = append(b, kind, zero)
		b = binary.BigEndian.AppendUint16(b, meta)
		return append(b, 0, 0, 0, 1)
	}
	for name, c := range map[string]struct {
		wire []byte
		err  error
	}{
		"type 0":           {head(0, 0, 0, 0), errFrame},
		"type 11":          {head(0, 11, 0, 0), errFrame},
		"not zero":         {head(0, FrameResult, 1, 0), errFrame},
		"over limit":       {head(1001, FrameResult, 0, 4), errFrame},
		"far over limit":   {head(1<<32-1, FrameResult, 0, 4), errFrame},
		"meta over size":   {head(3, FrameResult, 0, 4), errFrame},
		"ends in the head": {head(0, FrameResult, 0, 0)[:5], io.ErrUnexpectedEOF},
		"ends in the body": {append(head(10, FrameResult, 0, 4), 1, 2, 3), io.ErrUnexpectedEOF},
		"ends at the body": {head(10, FrameResult, 0, 4), io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadFrame(bytes.NewReader(c.wire), nil, 1000)
			require.ErrorIs(t, err, c.err)
		})
	}
}

// A head alone must not make the server reserve what it announces.
func TestReadFrameReservesWhatArrives(t *testing.T) {
	wire := AppendFrame(nil, Frame{Type: FrameResult})
	binary.BigEndian.PutUint32(wire, MaxFrameBytes)
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = ReadFrame(bytes.NewReader(wire), nil, MaxFrameBytes)
		}
	}).AllocedBytesPerOp()
	require.Less(t, allocated, int64(4*firstRead))
}

func TestAppendCall(t *testing.T) {
	deadline := time.UnixMilli(1_700_000_000_123)
	f, err := ReadFrame(bytes.NewReader(AppendCall(nil, 9, deadline, "id-1", CallExtra{}, []byte(`{}`))), nil, 100)
	require.NoError(t, err)
	require.Equal(t, Frame{Type: FrameCall, Seq: 9, Meta: append(binary.BigEndian.AppendUint64(nil, 1_700_000_000_123), "id-1"...), Body: []byte(`{}`)}, f)

	f, err = ReadFrame(bytes.NewReader(AppendCall(nil, 9, deadline, "id-1", CallExtra{Alias: "prod"}, nil)), nil, 100)
	require.NoError(t, err)
	require.Equal(t, "id-1\x00{\"alias\":\"prod\"}", string(f.Meta[8:]))
	require.Empty(t, f.Body)
}

func TestFailure(t *testing.T) {
	f := Frame{Type: FrameFailed, Meta: []byte{FailInit}, Body: []byte(`{"errorMessage":"m","errorType":"T","stackTrace":["a"]}`)}
	kind, failure, err := f.Failure()
	require.NoError(t, err)
	require.Equal(t, byte(FailInit), kind)
	require.Equal(t, Failure{Message: "m", Type: "T", Stack: []string{"a"}}, failure)

	_, _, err = Frame{Type: FrameFailed, Meta: []byte{FailInit}, Body: []byte(`{`)}.Failure()
	require.ErrorIs(t, err, errFrame)
	_, _, err = Frame{Type: FrameFailed, Body: []byte(`{}`)}.Failure()
	require.ErrorIs(t, err, errFrame)
	_, err = Frame{Type: FrameResult}.PeakKiB()
	require.ErrorIs(t, err, errFrame)
}

func TestFailCode(t *testing.T) {
	for kind, want := range map[byte]faas.Code{
		FailLoad: faas.CodeLoad, FailInit: faas.CodeInit, FailException: faas.CodeException, FailLast: faas.CodeException,
		FailResult: faas.CodeResult, FailTooLarge: faas.CodeResultTooLarge,
	} {
		got, err := FailCode(kind)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := FailCode(0)
	require.ErrorIs(t, err, errFrame)
}

func TestAppendLogLines(t *testing.T) {
	at := time.Unix(1, 0)
	info := func(text string) faas.LogLine { return faas.LogLine{Time: at, Level: faas.LevelInfo, Text: text} }
	level := func(level, text string) faas.LogLine { return faas.LogLine{Time: at, Level: level, Text: text} }
	for line, want := range map[string][]faas.LogLine{
		"":                   {info("")},
		"plain":              {info("plain")},
		"\x1eDa":             {level(faas.LevelDebug, "a")},
		"\x1eIa\x1fb":        {info("a\nb")},
		"\x1eW":              {level(faas.LevelWarn, "")},
		"\x1eEx\x1eIy":       {level(faas.LevelError, "x\x1eIy")},
		"\x1eXx":             {info("\x1eXx")},
		"\x1e":               {info("\x1e")},
		"a\x1e":              {info("a\x1e")},
		"left open\x1eEx":    {info("left open"), level(faas.LevelError, "x")},
		"\x1e{}\x1e\x1eDx":   {info("\x1e{}\x1e"), level(faas.LevelDebug, "x")},
		"plain \x1f not cut": {info("plain \x1f not cut")},
	} {
		require.Equal(t, want, AppendLogLines(nil, at, line), "%q", line)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(AppendFrame(nil, Frame{Type: FrameResult, Seq: 1, Meta: make([]byte, 4), Body: []byte(`null`)}))
	f.Add(AppendFrame(nil, Frame{Type: FrameFailed, Seq: 1, Meta: []byte{FailLoad}, Body: []byte(`{"stackTrace":null}`)}))
	f.Add(AppendCall(nil, 1, time.Unix(0, 0), "id", CallExtra{Alias: "a"}, []byte(`{}`)))
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := ReadFrame(bytes.NewReader(wire), make([]byte, 0, 16), 1<<20)
		if err != nil {
			return
		}
		again := AppendFrame(nil, got)
		if !bytes.Equal(again, wire[:len(again)]) {
			t.Fatalf("%x read and written again is %x", wire, again)
		}
		_, _ = got.PeakKiB()
		if _, _, err := got.Failure(); err == nil && got.Type != FrameFailed {
			t.Fatal("a failure in a frame of another type")
		}
	})
}
