//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor"
)

// image is a container image that serves HTTP (FunctionGraph reference 5.6). An event is posted to /invoke, whose answer is the
// result; the initializer is /init. Requests of a gateway pass through, as those to a site do.
type image struct{ *site }

func (i *image) start(load lang.Load) (kind byte, failure lang.Failure, err error) {
	kind, failure, err = i.startWith(load, func() (lang.Failure, bool) {
		process, err := adaptor.StartImage(load, adaptor.BaseEnvironment())
		if err != nil {
			return lang.Failure{Type: "HandlerNotFound", Message: err.Error()}, false
		}
		i.process = process
		return lang.Failure{}, true
	})
	if kind != 0 || err != nil || load.InitHandler == "" {
		return kind, failure, err
	}
	// The server has the budget of the initializer, and ends what is late.
	res, err := i.post(context.Background(), "/init", "", lang.CallExtra{}, nil)
	if err != nil {
		select {
		case <-i.process.Ended():
			return lang.FailExit, i.process.Exit(), nil
		case <-time.After(exitGrace):
			return lang.FailInit, i.unreachable(err), nil
		}
	}
	if failure, ok := res.failure("/init"); !ok {
		return lang.FailInit, failure, nil
	}
	return 0, lang.Failure{}, nil
}

// reply is an answer of the image, read as far as the limit of a result.
type reply struct {
	status int
	body   []byte
}

// failure is that of an answer which is not a success.
func (r reply) failure(path string) (lang.Failure, bool) {
	if r.status >= http.StatusOK && r.status < http.StatusMultipleChoices {
		return lang.Failure{}, true
	}
	message := fmt.Sprintf("the function answered POST %s with status %d", path, r.status)
	if text := bytes.TrimSpace(r.body); len(text) > 0 {
		message += ": " + string(text)
	}
	return lang.Failure{Type: "HTTPStatus" + strconv.Itoa(r.status), Message: message}, false
}

func (i *image) post(ctx context.Context, path, id string, extra lang.CallExtra, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1"+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range i.header(id, extra) {
		req.Header.Set(name, value)
	}
	extra.SetHeaders(req.Header.Set, req.Header.Del)
	res, err := i.client.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, int64(i.load.MaxResult)+1))
	return reply{res.StatusCode, text}, err
}

func (i *image) call(f lang.Frame) { go i.exchange(f) }

func (i *image) exchange(f lang.Frame) {
	deadline, id, extra, err := f.CallHead()
	if err != nil {
		i.fail(f.Seq, lang.FailException, lang.Failure{Type: "ProtocolError", Message: err.Error()})
		return
	}
	begun := time.Now()
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(time.Second)) // the server ends what is late
	defer cancel()
	res, err := i.post(ctx, "/invoke", id, extra, f.Body)
	if err != nil {
		i.lost(f.Seq, err)
		return
	}
	if failure, ok := res.failure("/invoke"); !ok {
		i.fail(f.Seq, lang.FailException, failure)
		return
	}
	if len(bytes.TrimSpace(res.body)) == 0 {
		res.body = []byte("null")
	}
	result, kind, failure := lang.ResultOf(res.body, i.load.MaxResult)
	if kind != 0 {
		i.fail(f.Seq, kind, failure)
		return
	}
	i.result(f.Seq, i.process.PeakKiB(time.Since(begun)), result)
}
