package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

var everywhere = []string{"0.0.0.0/0", "::/0"}

func (c *cloud) firewalls() {
	ssh := godo.InboundRule{Protocol: "tcp", PortRange: "22", Sources: &godo.Sources{Addresses: []string{"203.0.113.0/24"}}}
	inside := godo.InboundRule{Protocol: "udp", PortRange: "8000-9000", Sources: &godo.Sources{Tags: []string{c.tag}}}
	ping := godo.InboundRule{Protocol: "icmp", Sources: &godo.Sources{DropletIDs: []int{c.bare.ID}}}
	out := godo.OutboundRule{Protocol: "tcp", PortRange: "all", Destinations: &godo.Destinations{Addresses: everywhere}}

	request := &godo.FirewallRequest{
		Name:          "godo",
		InboundRules:  []godo.InboundRule{ssh, inside, ping},
		OutboundRules: []godo.OutboundRule{out},
		DropletIDs:    []int{c.bare.ID},
	}
	// All ports are "0" in what the API says, and so are those of ICMP:
	// https://docs.digitalocean.com/reference/api/reference/firewalls/
	ping.PortRange, out.PortRange = "0", "0"
	is := func(check *checks, firewall *godo.Firewall) {
		check.equal("name", firewall.Name, "godo")
		check.equal("inbound_rules", plain(firewall.InboundRules), plain([]godo.InboundRule{ssh, inside, ping}))
		check.equal("their number outbound", len(firewall.OutboundRules), 1)
		if len(firewall.OutboundRules) == 1 {
			firewall.OutboundRules[0].Action = ""
			check.equal("outbound_rules", *firewall.OutboundRules[0].Destinations, *out.Destinations)
			check.equal("their ports", firewall.OutboundRules[0].PortRange, "0")
		}
		check.equal("droplet_ids", firewall.DropletIDs, []int{c.bare.ID})
		check.equal("its tags", len(firewall.Tags), 0)
		check.that(firewall.Created != "", "there is no created_at")
	}
	firewall := got(c.Firewalls.Create(c.ctx, request)).report(c.report, "Firewalls.Create", 202,
		func(check *checks, firewall *godo.Firewall) {
			is(check, firewall)
			check.equal("status", firewall.Status, "waiting")
			check.equal("pending changes", len(firewall.PendingChanges), 1)
			if len(firewall.PendingChanges) == 1 {
				check.equal("pending_changes", firewall.PendingChanges[0],
					godo.PendingChange{DropletID: c.bare.ID, Status: "waiting"})
			}
		})
	settled := func(name string) *godo.Firewall {
		return until(c.report, name, func() (*godo.Firewall, *godo.Response, error) {
			return c.Firewalls.Get(c.ctx, firewall.ID)
		}, func(firewall *godo.Firewall) bool {
			return firewall.Status == "succeeded" && len(firewall.PendingChanges) == 0
		})
	}
	var check checks
	is(&check, settled("Firewalls.Get"))
	c.line("what Firewalls.Get says", check.problems)
	got(c.Firewalls.Create(c.ctx, request)).refused(c.report, "Firewalls.Create of the same one", 409, "duplicate name")
	got(c.Firewalls.Create(c.ctx, &godo.FirewallRequest{Name: "godo-empty"})).
		refused(c.report, "Firewalls.Create without rules", 422, "rule")
	got(c.Firewalls.Create(c.ctx, &godo.FirewallRequest{Name: "godo-bad", InboundRules: []godo.InboundRule{
		{Protocol: "tcp", PortRange: "70000", Sources: &godo.Sources{Addresses: everywhere}},
	}})).refused(c.report, "Firewalls.Create with a bad port", 422, "port")

	has := func(firewalls []godo.Firewall) bool {
		return slices.ContainsFunc(firewalls, func(one godo.Firewall) bool { return one.ID == firewall.ID })
	}
	until(c.report, "Firewalls.List", func() ([]godo.Firewall, *godo.Response, error) {
		return c.Firewalls.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, has)
	until(c.report, "Firewalls.ListByDroplet", func() ([]godo.Firewall, *godo.Response, error) {
		return c.Firewalls.ListByDroplet(c.ctx, c.bare.ID, nil)
	}, has)
	changed := &godo.FirewallRequest{
		Name: "godo-changed", InboundRules: []godo.InboundRule{ssh}, Tags: []string{c.tag}, DropletIDs: []int{c.bare.ID},
	}
	got(c.Firewalls.Update(c.ctx, firewall.ID, changed)).report(c.report, "Firewalls.Update", 200,
		func(check *checks, firewall *godo.Firewall) {
			check.equal("name", firewall.Name, "godo-changed")
			check.equal("tags", firewall.Tags, []string{c.tag})
			check.equal("its rules", len(firewall.InboundRules)+len(firewall.OutboundRules), 1)
		})
	// Each of these is undone by the next.
	for _, step := range []struct {
		name string
		do   func() (*godo.Response, error)
		want func(*checks, *godo.Firewall)
	}{
		{"RemoveTags", func() (*godo.Response, error) { return c.Firewalls.RemoveTags(c.ctx, firewall.ID, c.tag) },
			func(check *checks, firewall *godo.Firewall) { check.equal("its tags", len(firewall.Tags), 0) }},
		{"AddTags", func() (*godo.Response, error) { return c.Firewalls.AddTags(c.ctx, firewall.ID, c.tag) },
			func(check *checks, firewall *godo.Firewall) { check.equal("tags", firewall.Tags, []string{c.tag}) }},
		{"RemoveDroplets", func() (*godo.Response, error) {
			return c.Firewalls.RemoveDroplets(c.ctx, firewall.ID, c.bare.ID)
		}, func(check *checks, firewall *godo.Firewall) { check.equal("its droplets", len(firewall.DropletIDs), 0) }},
		{"AddDroplets", func() (*godo.Response, error) {
			return c.Firewalls.AddDroplets(c.ctx, firewall.ID, c.bare.ID)
		}, func(check *checks, firewall *godo.Firewall) {
			check.equal("droplet_ids", firewall.DropletIDs, []int{c.bare.ID})
		}},
		{"AddRules", func() (*godo.Response, error) {
			return c.Firewalls.AddRules(c.ctx, firewall.ID,
				&godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{inside}})
		}, func(check *checks, firewall *godo.Firewall) {
			check.equal("inbound_rules", plain(firewall.InboundRules), plain([]godo.InboundRule{ssh, inside}))
		}},
		{"RemoveRules", func() (*godo.Response, error) {
			return c.Firewalls.RemoveRules(c.ctx, firewall.ID,
				&godo.FirewallRulesRequest{InboundRules: []godo.InboundRule{inside}})
		}, func(check *checks, firewall *godo.Firewall) {
			check.equal("inbound_rules", plain(firewall.InboundRules), plain([]godo.InboundRule{ssh}))
		}},
	} {
		done(step.do()).report(c.report, "Firewalls."+step.name, 204, nil)
		after := settled("Firewalls.Get after " + step.name)
		var check checks
		step.want(&check, after)
		c.line("what Firewalls.Get says after "+step.name, check.problems)
	}
	done(c.Firewalls.AddTags(c.ctx, firewall.ID, "godo-none")).
		refused(c.report, "Firewalls.AddTags of none", 422, "tag")
	done(c.Firewalls.Delete(c.ctx, firewall.ID)).report(c.report, "Firewalls.Delete", 204, nil)
	got(c.Firewalls.Get(c.ctx, firewall.ID)).refused(c.report, "Firewalls.Get after its end", 404, "not")
}

// plain are rules without their action, which the API may say or leave out where it is "allow".
func plain(rules []godo.InboundRule) []godo.InboundRule {
	same := make([]godo.InboundRule, len(rules))
	for i, rule := range rules {
		if rule.Action == godo.FirewallRuleActionAllow {
			rule.Action = ""
		}
		same[i] = rule
	}
	return same
}
