// Package obs is the trigger of object stores: a bucket's notifications in the shape of S3 arrive at an address of the trigger's
// own, or for all triggers of a project at once, and those that a trigger asks for become calls.
//
// It must not know how notifications are carried, nor speak to any bucket.
package obs

import (
	"cmp"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
	"github.com/hanshu-faas/hanshu/internal/trigger"
)

// Code is the kind's name in requests.
const Code = "OBS"

// events are the names that can be asked for, as clients write them, and what they match.
var events = map[string]string{
	"ObjectCreated": "ObjectCreated:", "Put": "ObjectCreated:Put", "Post": "ObjectCreated:Post", "Copy": "ObjectCreated:Copy",
	"CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
	"ObjectRemoved":           "ObjectRemoved:", "Delete": "ObjectRemoved:Delete", "DeleteMarkerCreated": "ObjectRemoved:DeleteMarkerCreated",
}

var fields = []trigger.Field{
	{Name: "bucket", Need: true, Min: 1, Max: 64},
	{Name: "events", Type: trigger.Texts, Need: true, Min: 1, Max: 16},
	{Name: "prefix", Max: 1024}, {Name: "suffix", Max: 1024},
	{Name: "name", Max: 64, Kept: "it names the notification in the bucket's own settings"},
	{Name: "invoke_url", Made: true},
}

type data struct {
	Bucket string   `json:"bucket"`
	Events []string `json:"events"`
	Prefix string   `json:"prefix"`
	Suffix string   `json:"suffix"`
	Name   string   `json:"name"`
}

// matcher gives the name, or the group of names, that an entry asks for; "" for an entry that is none. The wire form is
// s3:ObjectCreated:*, s3:ObjectRemoved:Delete and so on.
func matcher(entry string) string {
	if begin, ok := events[entry]; ok {
		return begin
	}
	name := strings.TrimPrefix(entry, "s3:")
	for _, begin := range events {
		if name == begin || name == begin+"*" {
			return begin
		}
	}
	return ""
}

// matches tells whether an event has a name, or one of a group, which ends in ":".
func matches(want, name string) bool {
	return name == want || strings.HasSuffix(want, ":") && strings.HasPrefix(name, want)
}

// Config is what a Kind needs.
type Config struct {
	Sink   trigger.Sink
	Region string
	URL    string // of the data plane
}

// Kind is the OBS trigger.
type Kind struct {
	trigger.Hooked[data]
	cfg Config
}

// New makes the kind.
func New(cfg Config) *Kind { return &Kind{cfg: cfg} }

// Codes is of trigger.Kind.
func (k *Kind) Codes() []string { return []string{Code} }

// Check is of trigger.Kind.
func (k *Kind) Check(_ *faas.Trigger, set map[string]any, secrets map[string]string) (faas.TriggerData, error) {
	checked, err := trigger.Check(Code, fields, set, secrets)
	if err != nil {
		return checked, err
	}
	var d data
	if err := trigger.Decode(checked.Plain, &d); err != nil {
		return checked, err
	}
	for _, entry := range d.Events {
		if matcher(entry) == "" {
			return checked, trigger.Bad(Code, "event_data.events %.80q must be ObjectCreated, Put, Post, Copy, CompleteMultipartUpload, ObjectRemoved, "+
				"Delete or DeleteMarkerCreated, or the same as s3:ObjectCreated:* and so on", entry)
		}
	}
	trigger.MakeHookKey(&checked, secrets)
	return checked, nil
}

// Show is of trigger.Kind.
func (k *Kind) Show(t *faas.Trigger, secrets map[string]string, shown map[string]any) {
	trigger.ShowHook(k.cfg.URL, t, secrets, shown)
}

// Take is of trigger.Hook.
func (k *Kind) Take(ctx context.Context, id, key string, body []byte) (map[string]any, bool, error) {
	one, ok := k.Find(id, key)
	if !ok {
		return nil, false, nil
	}
	records, err := read(body)
	if err != nil {
		return nil, true, err
	}
	n, err := k.handOver(ctx, one, records)
	return map[string]any{"accepted": n}, true, err
}

// Post hands a notification to all triggers of a project that ask for it, and tells how many calls it has become. Errors:
// CodeInvalid, field "body"; those of Sink: then some may have got it, and the same notification sent again does them no harm.
func (k *Kind) Post(ctx context.Context, project string, body []byte) (int, error) {
	records, err := read(body)
	if err != nil {
		return 0, err
	}
	all := 0
	for _, one := range k.In(project) {
		n, err := k.handOver(ctx, one, records)
		all += n
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// handOver makes one call of the records that a trigger asks for.
func (k *Kind) handOver(ctx context.Context, one trigger.Hooking[data], records []record) (int, error) {
	var wanted []record
	for _, r := range records {
		if one.Data.wants(&r) {
			r.AwsRegion = cmp.Or(r.AwsRegion, k.cfg.Region)
			r.S3.ConfigurationID = cmp.Or(one.Data.Name, r.S3.ConfigurationID)
			wanted = append(wanted, r)
		}
	}
	if len(wanted) == 0 {
		return 0, nil
	}
	event, err := json.Marshal(map[string]any{"Records": wanted})
	if err != nil {
		return 0, err
	}
	return 1, k.cfg.Sink.Enqueue(ctx, trigger.NewJob(one.Trigger, faas.SourceOBS, event, dedup(wanted)))
}

// dedup names records that tell their order; a notification that is sent twice is then taken once.
func dedup(records []record) string {
	var all []string
	for _, r := range records {
		if r.S3.Object.Sequencer == "" {
			return ""
		}
		all = append(all, r.EventName, r.S3.Bucket.Name, r.S3.Object.Key, r.S3.Object.VersionID, r.S3.Object.Sequencer)
	}
	return trigger.Digest(strings.Join(all, "\x00"))
}

func (d *data) wants(r *record) bool {
	key := r.S3.Object.Key
	if plain, err := url.QueryUnescape(key); err == nil {
		key = plain
	}
	return r.S3.Bucket.Name == d.Bucket && strings.HasPrefix(key, d.Prefix) && strings.HasSuffix(key, d.Suffix) &&
		slices.ContainsFunc(d.Events, func(entry string) bool { return matches(matcher(entry), r.EventName) })
}
