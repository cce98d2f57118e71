// Package all is the catalogue of the kinds of triggers: one line for each.
package all

import (
	"log/slog"
	"net/url"
	"time"

	"github.com/hanshu-faas/hanshu/internal/lifecycle"
	"github.com/hanshu-faas/hanshu/internal/metrics"
	"github.com/hanshu-faas/hanshu/internal/trigger"
	"github.com/hanshu-faas/hanshu/internal/trigger/apig"
	"github.com/hanshu-faas/hanshu/internal/trigger/kafka"
	"github.com/hanshu-faas/hanshu/internal/trigger/mqtt"
	"github.com/hanshu-faas/hanshu/internal/trigger/obs"
	"github.com/hanshu-faas/hanshu/internal/trigger/rabbitmq"
	"github.com/hanshu-faas/hanshu/internal/trigger/smn"
	"github.com/hanshu-faas/hanshu/internal/trigger/timer"
)

// Sink is what the kinds hand events to, one by one or many at a time.
type Sink interface {
	trigger.Sink
	timer.Sink
}

// Config is what the kinds need. All of it is required.
type Config struct {
	Sink    Sink
	Marks   timer.Marks
	Region  string
	Gateway *url.URL       // where clients find the data plane
	Zone    *time.Location // of timers that name none
	Missed  string         // see package timer
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Kinds are the kinds of triggers, and what of them others ask.
type Kinds struct {
	Catalogue *trigger.Catalogue
	each      []trigger.Kind
	Services  []lifecycle.Named
	Routes    *apig.Kind
	Buckets   *obs.Kind
}

// New makes the kinds.
func New(cfg Config) Kinds {
	routes := apig.New(apig.Config{URL: cfg.Gateway})
	timers := timer.New(timer.Config{Sink: cfg.Sink, Marks: cfg.Marks, Zone: cfg.Zone, Missed: cfg.Missed, Log: cfg.Log, Metrics: cfg.Metrics})
	buckets := obs.New(obs.Config{Sink: cfg.Sink, Region: cfg.Region, URL: cfg.Gateway.String()})
	topics := smn.New(smn.Config{Sink: cfg.Sink, Region: cfg.Region, URL: cfg.Gateway.String(), Log: cfg.Log})
	broker := trigger.ListenersConfig{Sink: cfg.Sink, Region: cfg.Region, Log: cfg.Log, Metrics: cfg.Metrics}
	streams, exchanges, devices := kafka.New(broker), rabbitmq.New(broker), mqtt.New(broker)
	each := []trigger.Kind{routes, timers, buckets, topics, streams, exchanges, devices}
	return Kinds{
		Catalogue: trigger.NewCatalogue(each...), each: each,
		Services: []lifecycle.Named{
			{Name: "timers", Service: timers}, {Name: "Kafka triggers", Service: streams},
			{Name: "RabbitMQ triggers", Service: exchanges}, {Name: "MQTT triggers", Service: devices},
		},
		Routes:  routes,
		Buckets: buckets,
	}
}

// Kinds lists the kinds.
func (k *Kinds) Kinds() []trigger.Kind { return k.each }
