package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// coldTimes are the times, in ms, until a first answer, and how many answers were wrong.
type coldTimes struct {
	Call  []float64 // a call of a function that was never called before, at the client
	Queue []float64 // of that, waiting for an instance, as the server says
	Init  []float64 // of that, loading the code
	Run   []float64 // of that, in the handler
	Spawn []float64 // the floor: start of the interpreter until the first answer
	Wrong int64
	First string `json:",omitempty"`
}

// freshFunctions makes n functions of a language, none of which is called.
func freshFunctions(ctx context.Context, s *server, m *measured, n int) ([]target, error) {
	targets := make([]target, n)
	for i := range targets {
		var err error
		l := m.language // code of its own, so that it has to be unpacked
		if l.Comment != "" {
			l.Source = fmt.Sprintf("%s%s %d\n", l.Source, l.Comment, i)
		}
		if targets[i], err = s.create(ctx, l, m.runtime.Name, fmt.Sprintf("fresh-%s-%d", m.Command, i)); err != nil {
			return nil, err
		}
	}
	return targets, nil
}

// call makes the first call of a function over a connection that is in use already.
func (t *coldTimes) call(c *conn, to target) error {
	req := newRequest(to)
	req.number(uint64(time.Now().UnixNano()))
	if err := c.SetDeadline(time.Now().Add(functionTime * time.Second)); err != nil {
		return err
	}
	began := time.Now()
	answer, err := c.call(req)
	took := time.Since(began)
	if err != nil {
		return err
	}
	if answer.status != 200 {
		return fmt.Errorf("cold call: status %d: %.300s", answer.status, answer.body)
	}
	if !new(checker).right(req, answer.body) {
		t.Wrong++
		t.First = fmt.Sprintf("wrong answer: %.200s", answer.body)
	}
	t.Call = append(t.Call, ms(took))
	return t.split(answer.summary)
}

// split keeps what the server tells of the call. A server that tells nothing is left in peace.
func (t *coldTimes) split(summary []byte) error {
	if len(summary) == 0 {
		return nil
	}
	var told struct {
		Duration      float64 `json:"duration"`
		InitDuration  float64 `json:"initDuration"`
		QueueDuration float64 `json:"queueDuration"`
	}
	if err := json.Unmarshal(summary, &told); err != nil {
		return fmt.Errorf("%s: %w", summaryHeader, err)
	}
	t.Queue = append(t.Queue, told.QueueDuration)
	t.Init = append(t.Init, told.InitDuration)
	t.Run = append(t.Run, told.Duration)
	return nil
}

// spawn measures the floor once: from the start of a worker's process to its first answer.
func (t *coldTimes) spawn(ctx context.Context, args []string) error {
	body := payload()
	began := time.Now()
	w, err := startWorker(ctx, args)
	if err != nil {
		return err
	}
	defer w.stop()
	answer, err := w.call(body)
	took := time.Since(began)
	if err != nil {
		return err
	}
	if !sameJSON(body, answer) {
		t.Wrong++
		t.First = fmt.Sprintf("wrong answer: %.200s", answer)
	}
	t.Spawn = append(t.Spawn, ms(took))
	return nil
}

// cold measures first calls and spawns turn about.
func (b *bench) cold(ctx context.Context, n int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var langs []*measured
	for _, m := range b.langs {
		if m.Bare {
			continue
		}
		langs = append(langs, m)
		if m.fresh, err = freshFunctions(ctx, b.server, m, n); err != nil {
			return err
		}
	}
	c, err := dial(ctx, b.server.address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := new(coldTimes).call(c, b.langs[0].function); err != nil { // so that the connection is in use
		return err
	}
	for i := range n {
		if err := b.goCold.spawn(ctx, []string{self, commandWorker}); err != nil {
			return err
		}
		for _, m := range langs {
			if err := m.cold.spawn(ctx, m.floorWorker(m.runtime.Path)); err != nil {
				return err
			}
			if err := m.cold.call(c, m.fresh[i]); err != nil {
				return err
			}
		}
	}
	return nil
}
