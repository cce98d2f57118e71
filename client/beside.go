package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Reserved is what a version or an alias keeps loaded (FunctionGraph reference, section 1.8).
type Reserved struct {
	QualifierType string  `json:"qualifier_type"` // "version" or "alias"
	QualifierName string  `json:"qualifier_name"`
	Count         int     `json:"min_count"`
	Idle          bool    `json:"idle_mode"`
	Tactics       Tactics `json:"tactics_config"`
}

// Tactics change the number of reserved instances.
type Tactics struct {
	Cron []struct {
		Name    string `json:"name"`
		Cron    string `json:"cron"`
		Count   int    `json:"count"`
		Start   int64  `json:"start_time"`   // seconds since 1970, 0 for none
		Expired int64  `json:"expired_time"` // as Start
	} `json:"cron_configs"`
	Metric []struct {
		Name      string `json:"name"`
		Type      string `json:"type"`
		Threshold int    `json:"threshold"` // percent
		Min       int    `json:"min"`
	} `json:"metric_configs"`
}

// TestEvent is an event kept with a function, for trials (FunctionGraph reference, section 1.10).
type TestEvent struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Content string `json:"content"` // JSON in base64
}

// AsyncConfig says how asynchronous calls through one version or alias are treated (FunctionGraph reference, section 1.4).
type AsyncConfig struct {
	URN         string `json:"func_urn"`
	MaxAge      int    `json:"max_async_event_age_in_seconds"`
	Retries     int    `json:"max_async_retry_attempts"`
	StatusLog   bool   `json:"enable_async_status_log"`
	Destination struct {
		OnSuccess *Destination `json:"on_success"` // nil for none, as OnFailure
		OnFailure *Destination `json:"on_failure"`
	} `json:"destination_config"`
}

// Destination is where the record of a call goes.
type Destination struct {
	Kind  string `json:"destination"` // "OBS", "SMN", "DIS" or "FunctionGraph"
	Param string `json:"param"`       // a JSON object as text
}

// ListReserved lists what the versions and aliases of a function keep loaded.
func (c *Client) ListReserved(ctx context.Context, urn string) ([]Reserved, error) {
	var all []Reserved
	for {
		var page struct {
			Reserved []Reserved `json:"reserved_instances"`
			Count    int        `json:"count"`
		}
		query := url.Values{"function_urn": {urn}, "limit": {"100"}, "marker": {strconv.Itoa(len(all))}}
		if err := c.call(ctx, request{method: http.MethodGet, path: c.projectPath("/functions/reservedinstanceconfigs"), query: query}, nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Reserved...); len(page.Reserved) == 0 || len(all) >= page.Count {
			return all, nil
		}
	}
}

// Tags gives the tags of a function.
func (c *Client) Tags(ctx context.Context, urn string) (map[string]string, error) {
	var answer struct {
		Tags []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		} `json:"tags"`
	}
	path := "/v2/" + url.PathEscape(c.cfg.ProjectID) + "/functions/" + url.PathEscape(urn) + "/tags"
	if err := c.call(ctx, request{method: http.MethodGet, path: path}, nil, &answer); err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for _, t := range answer.Tags {
		tags[t.Key] = t.Value
	}
	return tags, nil
}

// TestEvents gives the test events of a function, with their contents.
func (c *Client) TestEvents(ctx context.Context, urn string) ([]TestEvent, error) {
	var list struct {
		Events []TestEvent `json:"events"`
	}
	if err := c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/events")}, nil, &list); err != nil {
		return nil, err
	}
	for i := range list.Events {
		one := &list.Events[i]
		if err := c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/events/"+url.PathEscape(one.ID))}, nil, one); err != nil {
			return nil, err
		}
	}
	return list.Events, nil
}

// AsyncConfigs lists how asynchronous calls of a function are treated, where somebody has set it.
func (c *Client) AsyncConfigs(ctx context.Context, urn string) ([]AsyncConfig, error) {
	var all []AsyncConfig
	for {
		var page struct {
			Configs []AsyncConfig `json:"async_invoke_configs"`
			Count   int           `json:"count"`
		}
		query := url.Values{"limit": {"100"}, "marker": {strconv.Itoa(len(all))}}
		if err := c.call(ctx, request{method: http.MethodGet, path: c.functionPath(urn, "/async-invoke-configs"), query: query}, nil, &page); err != nil {
			return nil, err
		}
		if all = append(all, page.Configs...); len(page.Configs) == 0 || len(all) >= page.Count {
			return all, nil
		}
	}
}
