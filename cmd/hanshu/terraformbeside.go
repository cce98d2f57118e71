package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/hanshu-faas/hanshu/client"
)

// toldOnly are fields of event data that a server answers and does not take.
var toldOnly = []string{"invoke_url", "api_id", "api_name", "created_time", "trigger_id", "triggerid"}

// sealed are fields of event data that a server takes and answers empty.
var sealed = []string{"password", "kafka_password", "access_password", "app_code"}

// trigger writes a trigger of the function with a label.
func (t *terraform) trigger(label string, trigger *client.Trigger) error {
	body, own := t.resource(triggerResource, label+"_"+strings.ToLower(trigger.Type))
	body.SetAttributeRaw("function_urn", functionURN(label, trigger.URN))
	text(body, "type", trigger.Type)
	text(body, "status", trigger.Status)
	var fields []hclwrite.ObjectAttrTokens
	same := true // what the provider reads is what stands here
	for _, name := range slices.Sorted(maps.Keys(trigger.Data)) {
		if slices.Contains(toldOnly, name) {
			same = false
			continue
		}
		field := hclwrite.ObjectAttrTokens{Name: hclwrite.TokensForTraversal(traversal(name))}
		if trigger.Data[name] == "" && slices.Contains(sealed, name) {
			same, field.Value = false, t.secret(own, name)
		} else {
			value, err := valueFrom(trigger.Data[name])
			if err != nil {
				return err
			}
			field.Value = hclwrite.TokensForValue(value)
		}
		fields = append(fields, field)
	}
	body.SetAttributeRaw("event_data", hclwrite.TokensForFunctionCall("jsonencode", hclwrite.TokensForObject(fields)))
	if !same {
		passOver(body, "The server answers more than it is sent, and no secrets. Take this out to change the trigger.", "event_data")
	}
	t.adoption(triggerResource, own, trigger.URN+"/"+trigger.Type+"/"+trigger.ID)
	return nil
}

// functionURN refers to the function with a label, as urn names it: by latest, a version or an alias.
func functionURN(label, urn string) hclwrite.Tokens {
	function := hclwrite.TokensForTraversal(traversal(functionResource, label, "urn"))
	if _, qualifier := cutQualifier(urn); qualifier != "latest" {
		return hclwrite.TokensForFunctionCall("replace", function,
			hclwrite.TokensForValue(cty.StringVal("/:latest$/")), hclwrite.TokensForValue(cty.StringVal(":"+qualifier)))
	}
	return function
}

// cutQualifier parts a URN of eight parts from its version or alias.
func cutQualifier(urn string) (function, qualifier string) {
	at := max(0, strings.LastIndexByte(urn, ':'))
	return urn[:at], strings.TrimPrefix(urn[at:], ":")
}

// event writes a test event.
func (t *terraform) event(label, urn string, e client.TestEvent) {
	body, own := t.resource(eventResource, label+"_"+e.Name)
	body.SetAttributeRaw("function_urn", functionURN(label, urn))
	text(body, "name", e.Name)
	body.SetAttributeValue("content", cty.StringVal(e.Content))
	t.adoption(eventResource, own, urn+"/"+e.Name)
}

// async writes how asynchronous calls are treated. All functions have been written.
func (t *terraform) async(c client.AsyncConfig) error {
	function, _ := cutQualifier(c.URN)
	label := t.functions[function]
	body, own := t.resource(asyncResource, label)
	body.SetAttributeRaw("function_urn", functionURN(label, c.URN))
	body.SetAttributeValue("max_async_event_age_in_seconds", cty.NumberIntVal(int64(c.MaxAge)))
	body.SetAttributeValue("max_async_retry_attempts", cty.NumberIntVal(int64(c.Retries)))
	if c.StatusLog {
		body.SetAttributeValue("enable_async_status_log", cty.True)
	}
	for _, to := range []struct {
		name string
		*client.Destination
	}{{"on_success", c.Destination.OnSuccess}, {"on_failure", c.Destination.OnFailure}} {
		if to.Destination == nil {
			continue
		}
		param, err := t.param(to.Param)
		if err != nil {
			return err
		}
		block := body.AppendNewBlock(to.name, nil).Body()
		text(block, "destination", to.Kind)
		block.SetAttributeRaw("param", param)
	}
	t.adoption(asyncResource, own, c.URN)
	return nil
}

// param writes the parameters of a destination. A function of the project is named by its resource.
func (t *terraform) param(in string) (hclwrite.Tokens, error) {
	var to struct {
		URN string `json:"func_urn"`
	}
	if err := json.Unmarshal([]byte(in), &to); err != nil {
		return nil, fmt.Errorf("read what the server said of a destination: %w", err)
	}
	function, _ := cutQualifier(to.URN)
	if label, ok := t.functions[function]; ok {
		return hclwrite.TokensForFunctionCall("jsonencode", hclwrite.TokensForObject([]hclwrite.ObjectAttrTokens{
			{Name: hclwrite.TokensForTraversal(traversal("func_urn")), Value: functionURN(label, to.URN)},
		})), nil
	}
	value, err := valueOf([]byte(in))
	if err != nil {
		return nil, err
	}
	return encoded(value), nil
}

// flows names the workflows, which the provider has no resource for.
func (t *terraform) flows(all []client.Workflow) {
	for _, w := range all {
		remark(t.body, "Left out, as the provider has no resource for it: the workflow "+w.Name)
	}
}

func valueFrom(from any) (cty.Value, error) {
	in, err := json.Marshal(from)
	if err != nil {
		return cty.NilVal, fmt.Errorf("encode event data: %w", err)
	}
	return valueOf(in)
}
