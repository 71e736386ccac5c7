package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

func (c *cloud) loadBalancers() {
	api := godo.ForwardingRule{EntryProtocol: "tcp", EntryPort: 6443, TargetProtocol: "tcp", TargetPort: 6443}
	web := godo.ForwardingRule{EntryProtocol: "tcp", EntryPort: 80, TargetProtocol: "tcp", TargetPort: 30080}
	request := &godo.LoadBalancerRequest{
		Name:            "godo",
		Region:          region,
		ForwardingRules: []godo.ForwardingRule{api},
		Tag:             c.tag,
		VPCUUID:         c.vpc.ID,
	}
	is := func(check *checks, balancer *godo.LoadBalancer) {
		check.equal("name", balancer.Name, "godo")
		check.equal("size_unit", balancer.SizeUnit, uint32(1))
		check.equal("algorithm", balancer.Algorithm, "round_robin")
		check.equal("forwarding_rules", balancer.ForwardingRules, []godo.ForwardingRule{api})
		check.equal("tag", balancer.Tag, c.tag)
		check.equal("vpc_uuid", balancer.VPCUUID, c.vpc.ID)
		check.equal("network", balancer.Network, godo.LoadBalancerNetworkTypeExternal)
		check.that(balancer.ProjectID != "", "it has no project_id")
		check.that(balancer.Created != "", "there is no created_at")
		if check.that(balancer.Region != nil, "it has no region"); balancer.Region != nil {
			check.equal("region", balancer.Region.Slug, region)
		}
		if check.that(balancer.HTTPIdleTimeoutSeconds != nil, "it has no idle timeout"); balancer.HTTPIdleTimeoutSeconds != nil {
			check.equal("http_idle_timeout_seconds", *balancer.HTTPIdleTimeoutSeconds, uint64(60))
		}
		if check.that(balancer.StickySessions != nil, "it has no sticky_sessions"); balancer.StickySessions != nil {
			check.equal("sticky_sessions.type", balancer.StickySessions.Type, "none")
		}
		if check.that(balancer.HealthCheck != nil, "it has no health_check"); balancer.HealthCheck != nil {
			health := *balancer.HealthCheck
			health.ProxyProtocol = nil
			check.equal("health_check", health, godo.HealthCheck{
				Protocol: "http", Port: 80, Path: "/", CheckIntervalSeconds: 10, ResponseTimeoutSeconds: 5,
				HealthyThreshold: 3, UnhealthyThreshold: 5,
			})
		}
	}
	balancer := got(c.LoadBalancers.Create(c.ctx, request)).report(c.report, "LoadBalancers.Create", 202,
		func(check *checks, balancer *godo.LoadBalancer) {
			is(check, balancer)
			check.equal("status", balancer.Status, "new")
			check.equal("ip", balancer.IP, "")
		})
	active := until(c.report, "LoadBalancers.Get", func() (*godo.LoadBalancer, *godo.Response, error) {
		return c.LoadBalancers.Get(c.ctx, balancer.ID)
	}, func(balancer *godo.LoadBalancer) bool { return balancer.Status == "active" && balancer.IP != "" })
	var check checks
	is(&check, active)
	check.equal("droplet_ids", active.DropletIDs, []int{c.web.ID})
	c.line("what LoadBalancers.Get says", check.problems)
	got(c.LoadBalancers.Create(c.ctx, request)).refused(c.report, "LoadBalancers.Create of the same one", 422, "unique")
	got(c.LoadBalancers.Create(c.ctx, &godo.LoadBalancerRequest{Name: "godo-bad", Region: region})).
		refused(c.report, "LoadBalancers.Create without rules", 422, "forwarding")

	has := func(balancers []godo.LoadBalancer) bool {
		return slices.ContainsFunc(balancers, func(one godo.LoadBalancer) bool { return one.ID == balancer.ID })
	}
	until(c.report, "LoadBalancers.List", func() ([]godo.LoadBalancer, *godo.Response, error) {
		return c.LoadBalancers.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, has)
	until(c.report, "LoadBalancers.ListByNames", func() ([]godo.LoadBalancer, *godo.Response, error) {
		return c.LoadBalancers.ListByNames(c.ctx, []string{"godo"}, nil)
	}, has)
	until(c.report, "LoadBalancers.ListByUUIDs", func() ([]godo.LoadBalancer, *godo.Response, error) {
		return c.LoadBalancers.ListByUUIDs(c.ctx, []string{balancer.ID}, nil)
	}, has)

	update := active.AsRequest()
	update.Tag, update.DropletIDs, update.SizeUnit = "", []int{c.web.ID}, 2
	update.HealthCheck = &godo.HealthCheck{
		Protocol: "https", Port: 6443, Path: "/readyz", CheckIntervalSeconds: 3, ResponseTimeoutSeconds: 3,
		HealthyThreshold: 2, UnhealthyThreshold: 2,
	}
	got(c.LoadBalancers.Update(c.ctx, balancer.ID, update)).report(c.report, "LoadBalancers.Update", 200,
		func(check *checks, balancer *godo.LoadBalancer) {
			check.equal("tag", balancer.Tag, "")
			check.equal("droplet_ids", balancer.DropletIDs, []int{c.web.ID})
			check.equal("size_unit", balancer.SizeUnit, uint32(2))
			if check.that(balancer.HealthCheck != nil, "it has no health_check"); balancer.HealthCheck != nil {
				check.equal("health_check.path", balancer.HealthCheck.Path, "/readyz")
			}
		})
	state := func(name string, want func(*checks, *godo.LoadBalancer)) {
		got(c.LoadBalancers.Get(c.ctx, balancer.ID)).report(c.report, "LoadBalancers.Get after "+name, 200, want)
	}
	done(c.LoadBalancers.AddDroplets(c.ctx, balancer.ID, c.bare.ID)).report(c.report, "LoadBalancers.AddDroplets", 204, nil)
	state("AddDroplets", func(check *checks, balancer *godo.LoadBalancer) {
		check.equal("droplet_ids", balancer.DropletIDs, []int{c.web.ID, c.bare.ID})
	})
	done(c.LoadBalancers.RemoveDroplets(c.ctx, balancer.ID, c.bare.ID)).
		report(c.report, "LoadBalancers.RemoveDroplets", 204, nil)
	state("RemoveDroplets", func(check *checks, balancer *godo.LoadBalancer) {
		check.equal("droplet_ids", balancer.DropletIDs, []int{c.web.ID})
	})
	done(c.LoadBalancers.AddForwardingRules(c.ctx, balancer.ID, web)).
		report(c.report, "LoadBalancers.AddForwardingRules", 204, nil)
	state("AddForwardingRules", func(check *checks, balancer *godo.LoadBalancer) {
		check.equal("forwarding_rules", balancer.ForwardingRules, []godo.ForwardingRule{api, web})
	})
	done(c.LoadBalancers.RemoveForwardingRules(c.ctx, balancer.ID, web)).
		report(c.report, "LoadBalancers.RemoveForwardingRules", 204, nil)
	state("RemoveForwardingRules", func(check *checks, balancer *godo.LoadBalancer) {
		check.equal("forwarding_rules", balancer.ForwardingRules, []godo.ForwardingRule{api})
	})
	done(c.LoadBalancers.Delete(c.ctx, balancer.ID)).report(c.report, "LoadBalancers.Delete", 204, nil)
	got(c.LoadBalancers.Get(c.ctx, balancer.ID)).refused(c.report, "LoadBalancers.Get after its end", 404, "not")
}
