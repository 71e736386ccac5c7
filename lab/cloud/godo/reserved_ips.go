package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

func (c *cloud) reservedIPs() {
	got(c.ReservedIPs.Create(c.ctx, &godo.ReservedIPCreateRequest{})).
		refused(c.report, "ReservedIPs.Create for nothing", 422, "")
	reserved := got(c.ReservedIPs.Create(c.ctx, &godo.ReservedIPCreateRequest{Region: region})).
		report(c.report, "ReservedIPs.Create", 202, func(check *checks, reserved *godo.ReservedIP) {
			check.that(reserved.IP != "", "it has no ip")
			check.that(reserved.Droplet == nil, "it has a droplet")
			check.that(reserved.ProjectID != "", "it has no project_id")
			if check.that(reserved.Region != nil, "it has no region"); reserved.Region != nil {
				check.equal("region", reserved.Region.Slug, region)
			}
		})
	leads := func(name, ip string, droplet int) {
		until(c.report, name, func() (*godo.ReservedIP, *godo.Response, error) {
			return c.ReservedIPs.Get(c.ctx, ip)
		}, func(reserved *godo.ReservedIP) bool {
			if droplet == 0 {
				return reserved.Droplet == nil && !reserved.Locked
			}
			return reserved.Droplet != nil && reserved.Droplet.ID == droplet && !reserved.Locked
		})
	}
	act := func(name string, a answer[*godo.Action], kind string) *godo.Action {
		return c.finished("ReservedIPActions."+name, a, 201, kind, "reserved_ip", 0)
	}
	leads("ReservedIPs.Get", reserved.IP, 0)
	until(c.report, "ReservedIPs.List", func() ([]godo.ReservedIP, *godo.Response, error) {
		return c.ReservedIPs.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(all []godo.ReservedIP) bool {
		return slices.ContainsFunc(all, func(one godo.ReservedIP) bool { return one.IP == reserved.IP })
	})
	assigned := act("Assign", got(c.ReservedIPActions.Assign(c.ctx, reserved.IP, c.web.ID)), "assign_ip")
	leads("ReservedIPs.Get after Assign", reserved.IP, c.web.ID)
	got(c.ReservedIPActions.Get(c.ctx, reserved.IP, assigned.ID)).report(c.report, "ReservedIPActions.Get", 200,
		func(check *checks, action *godo.Action) { check.equal("id", action.ID, assigned.ID) })
	got(c.ReservedIPActions.List(c.ctx, reserved.IP, nil)).report(c.report, "ReservedIPActions.List", 200,
		func(check *checks, actions []godo.Action) {
			check.that(slices.ContainsFunc(actions, func(action godo.Action) bool { return action.ID == assigned.ID }),
				"%d is missing", assigned.ID)
		})
	got(c.ReservedIPActions.Assign(c.ctx, reserved.IP, 1)).
		refused(c.report, "ReservedIPActions.Assign to none", 422, "droplet")
	act("Unassign", got(c.ReservedIPActions.Unassign(c.ctx, reserved.IP)), "unassign_ip")
	leads("ReservedIPs.Get after Unassign", reserved.IP, 0)

	second := got(c.ReservedIPs.Create(c.ctx, &godo.ReservedIPCreateRequest{DropletID: c.bare.ID})).
		report(c.report, "ReservedIPs.Create for a droplet", 202, nil)
	leads("ReservedIPs.Get of the one for a droplet", second.IP, c.bare.ID)
	for _, one := range []*godo.ReservedIP{reserved, second} {
		done(c.ReservedIPs.Delete(c.ctx, one.IP)).report(c.report, "ReservedIPs.Delete", 204, nil)
		got(c.ReservedIPs.Get(c.ctx, one.IP)).refused(c.report, "ReservedIPs.Get after its end", 404, "not")
	}
}
