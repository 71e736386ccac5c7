package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

func (c *cloud) tags() {
	is := func(name string) func(*checks, *godo.Tag) {
		return func(check *checks, tag *godo.Tag) {
			check.equal("name", tag.Name, name)
			if check.that(tag.Resources != nil, "there is no resources"); tag.Resources != nil {
				check.equal("resources.count", tag.Resources.Count, 0)
			}
		}
	}
	request := &godo.TagCreateRequest{Name: c.tag}
	got(c.Tags.Create(c.ctx, request)).report(c.report, "Tags.Create", 201, is(c.tag))
	got(c.Tags.Create(c.ctx, &godo.TagCreateRequest{Name: "not a tag"})).
		refused(c.report, "Tags.Create of a bad name", 422, "invalid")
	got(c.Tags.Get(c.ctx, c.tag)).report(c.report, "Tags.Get", 200, is(c.tag))
	got(c.Tags.Get(c.ctx, "godo-none")).refused(c.report, "Tags.Get of none", 404, "not")
	until(c.report, "Tags.List", func() ([]godo.Tag, *godo.Response, error) {
		return c.Tags.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(tags []godo.Tag) bool {
		return slices.ContainsFunc(tags, func(tag godo.Tag) bool { return tag.Name == c.tag })
	})
}

func (c *cloud) removeTags() {
	done(c.Tags.Delete(c.ctx, c.tag)).report(c.report, "Tags.Delete", 204, nil)
	got(c.Tags.Get(c.ctx, c.tag)).refused(c.report, "Tags.Get after its end", 404, "not")
}

func (c *cloud) vpcs() {
	const ipRange = "10.77.0.0/24"
	is := func(name, description string) func(*checks, *godo.VPC) {
		return func(check *checks, vpc *godo.VPC) {
			check.equal("name", vpc.Name, name)
			check.equal("description", vpc.Description, description)
			check.equal("ip_range", vpc.IPRange, ipRange)
			check.equal("region", vpc.RegionSlug, region)
			check.equal("urn", vpc.URN, "do:vpc:"+vpc.ID)
			check.equal("default", vpc.Default, false)
			check.that(!vpc.CreatedAt.IsZero(), "there is no created_at")
		}
	}
	request := &godo.VPCCreateRequest{Name: "godo", RegionSlug: region, Description: "made by godo", IPRange: ipRange}
	c.vpc = got(c.VPCs.Create(c.ctx, request)).report(c.report, "VPCs.Create", 201, is("godo", "made by godo"))
	got(c.VPCs.Create(c.ctx, request)).refused(c.report, "VPCs.Create of the same one", 422, "")
	overlaps := &godo.VPCCreateRequest{Name: "godo-2", RegionSlug: region, IPRange: "10.77.0.0/25"}
	got(c.VPCs.Create(c.ctx, overlaps)).refused(c.report, "VPCs.Create of a range that overlaps", 422, "overlap")
	got(c.VPCs.Get(c.ctx, c.vpc.ID)).report(c.report, "VPCs.Get", 200, is("godo", "made by godo"))
	update := &godo.VPCUpdateRequest{Name: "godo-web", Description: "changed"}
	got(c.VPCs.Update(c.ctx, c.vpc.ID, update)).report(c.report, "VPCs.Update", 200, is("godo-web", "changed"))
	got(c.VPCs.Set(c.ctx, c.vpc.ID, godo.VPCSetDescription("set"))).
		report(c.report, "VPCs.Set", 200, is("godo-web", "set"))
	until(c.report, "VPCs.List", func() ([]*godo.VPC, *godo.Response, error) {
		return c.VPCs.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(vpcs []*godo.VPC) bool {
		return slices.ContainsFunc(vpcs, func(vpc *godo.VPC) bool { return vpc.ID == c.vpc.ID })
	})
}

func (c *cloud) removeVPCs() {
	// Its droplets are members until their machines are gone, which is after the API has forgotten them.
	accepted(c.report, "VPCs.Delete", func() (*godo.Response, error) { return c.VPCs.Delete(c.ctx, c.vpc.ID) })
	got(c.VPCs.Get(c.ctx, c.vpc.ID)).refused(c.report, "VPCs.Get after its end", 404, "not")
}

// raw makes a call that godo has no method for, by its client all the same.
func raw[T any](c *cloud, method, path string, body any) (*T, *godo.Response, error) {
	request, err := c.NewRequest(c.ctx, method, path, body)
	if err != nil {
		return nil, nil, err
	}
	value := new(T)
	response, err := c.Do(c.ctx, request, value)
	return value, response, err
}
