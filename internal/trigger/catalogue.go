package trigger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// Catalogue is the kinds that a server serves, by their codes.
type Catalogue struct{ kinds map[string]Kind }

// NewCatalogue makes a catalogue.
func NewCatalogue(kinds ...Kind) *Catalogue {
	c := &Catalogue{kinds: map[string]Kind{}}
	for _, k := range kinds {
		for _, code := range k.Codes() {
			c.kinds[code] = k
		}
	}
	return c
}

// Codes lists the codes that are served.
func (c *Catalogue) Codes() []string {
	var codes []string
	for code := range c.kinds {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// instead says of sources that do not exist here what can be used in their place.
var instead = map[string]string{
	"LTS":        "the logs of functions are kept by this server itself; send log lines from elsewhere to a KAFKA, MQTT or APIG trigger",
	"CTS":        "there is no cloud audit service here; let the source of the records call an APIG or SMN trigger",
	"DDS":        "there are no managed databases here; send change streams through a KAFKA or RABBITMQ trigger",
	"GAUSSMONGO": "there are no managed databases here; send change streams through a KAFKA or RABBITMQ trigger",
	"EVENTGRID":  "there is no event bus of the vendor here; use an OBS trigger for buckets, and an APIG, SMN or KAFKA trigger for other events",
	"DIS":        "there are no data streams of the vendor here; use a KAFKA trigger",
	"DMS":        "the vendor's old queues do not exist here; use a KAFKA or RABBITMQ trigger",
	"ROCKETMQ":   "RocketMQ cannot be listened to here; use a KAFKA or RABBITMQ trigger",
	"APIC":       "there is no API Connect here; use an APIG trigger",
}

func (c *Catalogue) kind(code string) (Kind, error) {
	if k, ok := c.kinds[code]; ok {
		return k, nil
	}
	if text, ok := instead[code]; ok {
		return nil, faas.Errorf(faas.CodeUnsupported, "trigger_type_code", "%s triggers are not possible here: %s", code, text)
	}
	return nil, faas.Errorf(faas.CodeInvalid, "trigger_type_code", "trigger_type_code %.40q must be one of %s", code, strings.Join(c.Codes(), ", "))
}

// Refused lists the codes that are known and refused.
func Refused() []string {
	var codes []string
	for code := range instead {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// Check holds what an owner set to the rules of t's kind. Errors: as Kind.Check; CodeInvalid or CodeUnsupported, field
// "trigger_type_code".
func (c *Catalogue) Check(t *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	k, err := c.kind(t.Kind)
	if err != nil {
		return faas.TriggerData{}, err
	}
	return k.Check(t, set, secrets)
}

// Show gives the data of a trigger, its secrets emptied, with what the server made.
func (c *Catalogue) Show(t *faas.Trigger, secrets map[string]string) (map[string]any, error) {
	data := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader([]byte(t.Data)))
	dec.UseNumber()
	if err := dec.Decode(&data); err != nil {
		return nil, fmt.Errorf("decode event data of trigger %s: %w", t.ID, err)
	}
	for name := range secrets {
		data[name] = ""
	}
	if k, ok := c.kinds[t.Kind]; ok {
		k.Show(t, secrets, data)
	}
	return data, nil
}

// StartsInactive tells of a kind whose triggers are made switched off unless the owner says otherwise (FunctionGraph
// reference, section 4.1).
func (c *Catalogue) StartsInactive(code string) bool { return code == "KAFKA" }

// Hook is a Kind whose events are sent to an address of this server.
type Hook interface {
	// Take hands a notification over. It gives what to answer its sender, and tells whether the address is one of its own.
	Take(ctx context.Context, id, key string, body []byte) (answer map[string]any, mine bool, err error)
}

// Take hands a notification to the kind whose address it came to. Error: CodeNotFound, field "route"; those of Hook and Sink.
func (c *Catalogue) Take(ctx context.Context, id, key string, body []byte) (map[string]any, error) {
	for code, k := range c.kinds {
		h, ok := k.(Hook)
		if !ok || code != k.Codes()[0] {
			continue
		}
		if answer, mine, err := h.Take(ctx, id, key, body); mine {
			return answer, err
		}
	}
	return nil, faas.Errorf(faas.CodeNotFound, "route", "there is no trigger at this address")
}
