package main

import (
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/hanshu-faas/hanshu/client"
)

// functionBlocks writes the blocks of a function that stand for its configuration.
func functionBlocks(body *hclwrite.Body, config *functionConfig) {
	if i := config.Image; i.Image != "" {
		image := body.AppendNewBlock("custom_image", nil).Body()
		for _, a := range [][2]string{
			{"url", i.Image}, {"command", i.Command}, {"args", i.Args}, {"working_dir", i.WorkingDir}, {"user_id", i.UID}, {"user_group_id", i.GID},
		} {
			text(image, a[0], a[1])
		}
	}
	if n := config.Network; n.DisablePublic || len(n.Vpcs) > 0 {
		network := body.AppendNewBlock("network_controller", nil).Body()
		network.SetAttributeValue("disable_public_network", cty.BoolVal(n.DisablePublic))
		for _, v := range n.Vpcs {
			vpc := network.AppendNewBlock("trigger_access_vpcs", nil).Body()
			text(vpc, "vpc_id", v.ID)
			text(vpc, "vpc_name", v.Name)
		}
	}
	for _, m := range config.Mount.Mounts {
		mount := body.AppendNewBlock("func_mounts", nil).Body()
		for _, a := range [][2]string{
			{"mount_type", m.Type}, {"mount_resource", m.Resource}, {"mount_share_path", m.SharePath}, {"local_mount_path", m.LocalPath},
		} {
			mount.SetAttributeValue(a[0], cty.StringVal(a[1])) // the provider wants each of them
		}
	}
}

// versionBlocks writes the published versions, each with its alias, and latest where that has one. What a file does not name the provider
// removes, so that all stand here.
func versionBlocks(body *hclwrite.Body, f *described) {
	of := map[string]client.Alias{}
	for _, a := range f.aliases {
		of[a.Version] = a
	}
	for _, v := range f.versions {
		a, led := of[v.Version]
		if v.Version == "latest" && !led {
			continue
		}
		version := body.AppendNewBlock("versions", nil).Body()
		text(version, "name", v.Version)
		if v.Version != "latest" {
			text(version, "description", v.VersionDescription)
		}
		if led {
			aliasBlock(version, a)
		}
	}
}

func aliasBlock(version *hclwrite.Body, a client.Alias) {
	alias := version.AppendNewBlock("aliases", nil).Body()
	text(alias, "name", a.Name)
	text(alias, "description", value(a.Description))
	if len(a.Weights) > 0 {
		weights := map[string]cty.Value{}
		for other, percent := range a.Weights {
			weights[other] = cty.NumberIntVal(int64(percent))
		}
		alias.SetAttributeRaw("additional_version_weights", encoded(cty.ObjectVal(weights)))
	}
	if len(a.Strategies) == 0 {
		return
	}
	strategies := map[string]cty.Value{}
	for other, s := range a.Strategies {
		var rules []cty.Value
		for _, r := range s.Rules {
			rules = append(rules, textObject(map[string]string{"rule_type": r.Type, "param": r.Param, "op": r.Op, "value": r.Value}))
		}
		strategies[other] = cty.ObjectVal(map[string]cty.Value{"combine_type": cty.StringVal(s.CombineType), "rules": cty.TupleVal(rules)})
	}
	alias.SetAttributeRaw("additional_version_strategy", encoded(cty.ObjectVal(strategies)))
}

func reservedBlock(body *hclwrite.Body, r client.Reserved) {
	reserved := body.AppendNewBlock("reserved_instances", nil).Body()
	text(reserved, "qualifier_type", r.QualifierType)
	text(reserved, "qualifier_name", r.QualifierName)
	reserved.SetAttributeValue("count", cty.NumberIntVal(int64(r.Count)))
	reserved.SetAttributeValue("idle_mode", cty.BoolVal(r.Idle))
	if len(r.Tactics.Cron)+len(r.Tactics.Metric) == 0 {
		return
	}
	tactics := reserved.AppendNewBlock("tactics_config", nil).Body()
	for _, c := range r.Tactics.Cron {
		cron := tactics.AppendNewBlock("cron_configs", nil).Body()
		text(cron, "name", c.Name)
		text(cron, "cron", c.Cron)
		for _, a := range []struct {
			name  string
			value int64
		}{{"count", int64(c.Count)}, {"start_time", c.Start}, {"expired_time", c.Expired}} {
			cron.SetAttributeValue(a.name, cty.NumberIntVal(a.value))
		}
	}
	for _, m := range r.Tactics.Metric {
		metric := tactics.AppendNewBlock("metric_configs", nil).Body()
		text(metric, "name", m.Name)
		text(metric, "type", m.Type)
		metric.SetAttributeValue("threshold", cty.NumberIntVal(int64(m.Threshold)))
		metric.SetAttributeValue("min", cty.NumberIntVal(int64(m.Min)))
	}
}

// unread has the provider pass over those of the arguments that the resource has and that it cannot read from a server, where it is to take over
// what exists. Otherwise its first plan would set them anew, or make the resource anew.
func (t *terraform) unread(body *hclwrite.Body, arguments ...string) {
	if t.adopt {
		passOver(body, "The provider cannot read these from the server. Take out the ones that you change here.", arguments...)
	}
}

// passOver has the provider see no change in those of the arguments that the resource has.
func passOver(body *hclwrite.Body, why string, arguments ...string) {
	var names []hclwrite.Tokens
	for _, name := range arguments {
		if body.GetAttribute(name) != nil {
			names = append(names, hclwrite.TokensForTraversal(traversal(name)))
		}
	}
	if len(names) == 0 {
		return
	}
	lifecycle := body.AppendNewBlock("lifecycle", nil).Body()
	remark(lifecycle, why)
	lifecycle.SetAttributeRaw("ignore_changes", hclwrite.TokensForTuple(names))
}

// remark writes a line of comment. Its text is one line whatever it contains.
func remark(body *hclwrite.Body, line string) {
	line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	body.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte("# " + line + "\n")}})
}

// leftOut names what the function has and the provider has no argument for.
func leftOut(body *hclwrite.Body, f *described, config *functionConfig) {
	for _, a := range [][2]string{{"egress", f.Egress}, {"isolation", f.Isolation}, {"extend_config", config.ExtendConfig}} {
		if a[1] != "" {
			remark(body, "Left out, as the provider has no argument for it: "+a[0]+" = "+strconv.Quote(a[1]))
		}
	}
	if config.DomainNames != "" && config.VPC.VpcID == "" {
		remark(body, "Left out, as the provider wants vpc_id beside dns_list: "+strconv.Quote(config.DomainNames))
	}
}

func textMap(from map[string]string) cty.Value {
	values := map[string]cty.Value{}
	for name, text := range from {
		values[name] = cty.StringVal(text)
	}
	return cty.MapVal(values)
}

func textObject(from map[string]string) cty.Value {
	values := map[string]cty.Value{}
	for name, text := range from {
		values[name] = cty.StringVal(text)
	}
	return cty.ObjectVal(values)
}
