package config

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// FromEnv gives the defaults as changed by HANSHU_* variables: the flag's name in capitals, with "_" for "-". A variable
// that is set and empty counts as not set. It tells every variable that cannot be read; Validate does the rest.
func FromEnv(lookup func(string) (string, bool)) (Config, error) {
	c := defaults(lookup, os.Geteuid())
	return c, c.fromEnv(lookup)
}

func (c *Config) fromEnv(lookup func(string) (string, bool)) error {
	var all []error
	take := func(name string, read func(string) error) {
		text, _ := lookup(name)
		if text == "" {
			return
		}
		if err := read(text); err != nil {
			all = append(all, fmt.Errorf("%s: %w", name, err))
		}
	}
	take("PATH", text(&c.Path))
	take("HANSHU_LISTEN", text(&c.Listen))
	take("HANSHU_DATA_DIR", text(&c.DataDir))
	take("HANSHU_DEV", boolean(&c.Dev))
	take("HANSHU_DB", text(&c.DB))
	take("HANSHU_REGION", text(&c.Region))
	take("HANSHU_PUBLIC_URL", text(&c.PublicURL))
	take("HANSHU_GATEWAY_LISTEN", text(&c.GatewayListen))
	take("HANSHU_GATEWAY_URL", text(&c.GatewayURL))
	take("HANSHU_TIMER_ZONE", text(&c.TimerZone))
	take("HANSHU_TIMER_MISSED", text(&c.TimerMissed))
	take("HANSHU_MQTT_LISTEN", text(&c.MQTT.Listen))
	take("HANSHU_MQTT_BROKER", text(&c.MQTT.Broker))
	take("HANSHU_MQTT_URL", text(&c.MQTT.URL))
	take("HANSHU_MQTT_CERT", text(&c.MQTT.Cert))
	take("HANSHU_MQTT_KEY", text(&c.MQTT.Key))
	take("HANSHU_SANDBOX", text(&c.Sandbox))
	take("HANSHU_OCI_RUNTIME", text(&c.OCIRuntime))
	take("HANSHU_EGRESS", text(&c.Egress))
	take("HANSHU_EGRESS_FIXED", boolean(&c.EgressFixed))
	take("HANSHU_EGRESS_PRIVATE", list(&c.EgressPrivate))
	take("HANSHU_MAX_INSTANCES", func(s string) error {
		n, err := strconv.Atoi(s)
		c.MaxInstances = n
		return noNumber(err)
	})
	take("HANSHU_PREPARED", func(s string) error {
		n, err := strconv.Atoi(s)
		c.Prepared = n
		return noNumber(err)
	})
	take("HANSHU_IDLE_TIMEOUT", duration(&c.IdleTimeout))
	take("HANSHU_FREEZE_AFTER", duration(&c.FreezeAfter))
	take("HANSHU_RECLAIM_AFTER", duration(&c.ReclaimAfter))
	take("HANSHU_QUEUE_WAIT", duration(&c.QueueWait))
	take("HANSHU_QUEUE_LENGTH", func(s string) error {
		n, err := strconv.Atoi(s)
		c.QueueLength = n
		return noNumber(err)
	})
	take("HANSHU_ALLOW_PRIVATE_CODE_URLS", list(&c.AllowPrivateCodeURLs))
	take("HANSHU_REGISTRY_AUTH", text(&c.RegistryAuth))
	take("HANSHU_S3_ENDPOINT", text(&c.S3.Endpoint))
	take("HANSHU_S3_REGION", text(&c.S3.Region))
	take("HANSHU_S3_ACCESS_KEY", text(&c.S3.AccessKey))
	take("HANSHU_S3_SECRET_KEY", text(&c.S3.SecretKey))
	take("HANSHU_S3_BUCKETS", list(&c.S3.Buckets))
	take("HANSHU_S3_PATH_STYLE", boolean(&c.S3.PathStyle))
	take("HANSHU_LOG_LEVEL", text(&c.LogLevel))
	take("HANSHU_LOG_FORMAT", text(&c.LogFormat))
	take("HANSHU_RECORD_AGE", duration(&c.RecordAge))
	take("HANSHU_RECORD_BYTES", number(&c.RecordBytes))
	take("HANSHU_RECORD_EVENTS", func(s string) error {
		n, err := strconv.Atoi(s)
		c.RecordEvents = n
		return noNumber(err)
	})
	take("HANSHU_QUOTA_FUNCTIONS", number(&c.QuotaFunctions))
	take("HANSHU_QUOTA_CODE_BYTES", number(&c.QuotaCodeBytes))
	return errors.Join(all...)
}

func text(to *string) func(string) error {
	return func(s string) error {
		*to = s
		return nil
	}
}

func boolean(to *bool) func(string) error {
	return func(s string) error {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is not true or false", s)
		}
		*to = b
		return nil
	}
}

func number(to *int64) func(string) error {
	return func(s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		*to = n
		return noNumber(err)
	}
}

func noNumber(err error) error {
	if err != nil {
		return errors.New("is not a number, or too big")
	}
	return nil
}

func duration(to *time.Duration) func(string) error {
	return func(s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a time like 60s or 5m", s)
		}
		*to = d
		return nil
	}
}

func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = nil
		for entry := range strings.SplitSeq(s, ",") {
			if entry = strings.TrimSpace(entry); entry != "" {
				*to = append(*to, entry)
			}
		}
		return nil
	}
}
