package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// noID stands in the payload where the id of a call goes.
const noID = "0000000000000000"

// payload is the event of every call: 1,024 bytes of JSON, of the kinds of value that events are made of.
func payload() []byte {
	const size = 1024
	type item struct {
		Name   string  `json:"name"`
		Count  int     `json:"count"`
		Price  float64 `json:"price"`
		Active bool    `json:"active"`
		Note   *string `json:"note"`
	}
	event := struct {
		ID    string            `json:"id"`
		Tags  map[string]string `json:"tags"`
		Items []item            `json:"items"`
		Text  string            `json:"text"`
	}{ID: noID, Tags: map[string]string{"region": "north", "source": "bench"}}
	for i := range 8 {
		event.Items = append(event.Items, item{Name: fmt.Sprintf("item-%d", i), Count: i * 17, Price: float64(i) + 0.25, Active: i%2 == 0})
	}
	text, err := json.Marshal(event)
	if err == nil && len(text) < size {
		event.Text = strings.Repeat("x", size-len(text))
		text, err = json.Marshal(event)
	}
	if err != nil || len(text) != size {
		panic(fmt.Sprintf("payload of %d bytes: %v", len(text), err)) // never: it is all constant
	}
	return text
}

// checker tells whether an answer is what was sent. The first right answer teaches it how this server writes the JSON;
// answers written like that are compared byte by byte, all others by meaning.
type checker struct {
	like []byte // a right answer
	id   []byte // the part of like that is the id
}

func (c *checker) right(sent *request, answer []byte) bool {
	if len(c.like) == len(answer) {
		copy(c.id, sent.id)
		if bytes.Equal(c.like, answer) {
			return true
		}
	}
	if !sameJSON(sent.body, answer) {
		return false
	}
	if at := bytes.Index(answer, sent.id); at >= 0 {
		c.like = bytes.Clone(answer)
		c.id = c.like[at : at+len(sent.id)]
	}
	return true
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
