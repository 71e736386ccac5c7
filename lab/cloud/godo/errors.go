package main

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/digitalocean/godo"
)

// pages goes through a list of several pages, as a caller of godo would.
func (c *cloud) pages() {
	var made []string
	for i := range 5 {
		name := fmt.Sprintf("godo-page-%d", i)
		got(c.Tags.Create(c.ctx, &godo.TagCreateRequest{Name: name})).report(c.report, "Tags.Create "+name, 201, nil)
		made = append(made, name)
	}
	until(c.report, "Tags.List has all of them", func() ([]godo.Tag, *godo.Response, error) {
		return c.Tags.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(tags []godo.Tag) bool { return len(tags) == len(made) })
	var found []string
	for page := 1; page <= 3; page++ {
		tags, response, err := c.Tags.List(c.ctx, &godo.ListOptions{Page: page, PerPage: 2})
		name := fmt.Sprintf("Tags.List of page %d", page)
		got(tags, response, err).report(c.report, name, 200, func(check *checks, tags []godo.Tag) {
			check.equal("their number", len(tags), []int{2, 2, 1}[page-1])
			check.that(response.Meta != nil && response.Meta.Total == len(made), "meta is %v", response.Meta)
			if check.that(response.Links != nil, "there are no links"); response.Links == nil {
				return
			}
			current, err := response.Links.CurrentPage()
			check.that(err == nil && current == page, "the current page is %d: %v", current, err)
			check.equal("whether it is the last", response.Links.IsLastPage(), page == 3)
		})
		for _, tag := range tags {
			found = append(found, tag.Name)
		}
	}
	slices.Sort(found)
	var check checks
	check.equal("all pages", found, made)
	c.line("what the pages of Tags.List hold together", check.problems)
	tags, response, err := c.Tags.List(c.ctx, &godo.ListOptions{Page: 9, PerPage: 2})
	got(tags, response, err).report(c.report, "Tags.List of a page behind the last", 200, func(check *checks, tags []godo.Tag) {
		check.equal("their number", len(tags), 0)
	})
	for _, name := range made {
		done(c.Tags.Delete(c.ctx, name)).report(c.report, "Tags.Delete "+name, 204, nil)
	}
}

// errors compares the answers that are one for all kinds.
func (c *cloud) errors() {
	unknown := "00000000-0000-4000-8000-000000000000"
	got(c.Droplets.Get(c.ctx, 1)).refused(c.report, "Droplets.Get of none", 404, "not")
	got(c.Actions.Get(c.ctx, 1)).refused(c.report, "Actions.Get of none", 404, "not")
	got(c.VPCs.Get(c.ctx, unknown)).refused(c.report, "VPCs.Get of none", 404, "not")
	got(c.Storage.GetVolume(c.ctx, unknown)).refused(c.report, "Storage.GetVolume of none", 404, "not")
	got(c.Firewalls.Get(c.ctx, unknown)).refused(c.report, "Firewalls.Get of none", 404, "not")
	got(c.LoadBalancers.Get(c.ctx, unknown)).refused(c.report, "LoadBalancers.Get of none", 404, "not")
	got(c.Projects.Get(c.ctx, unknown)).refused(c.report, "Projects.Get of none", 404, "not")
	got(c.ReservedIPs.Get(c.ctx, "203.0.113.250")).refused(c.report, "ReservedIPs.Get of none", 404, "not")
	got(c.Domains.Get(c.ctx, "none.example")).refused(c.report, "Domains.Get of none", 404, "not")
	got(c.SpacesKeys.Get(c.ctx, "none")).refused(c.report, "SpacesKeys.Get of none", 404, "not")
	got(c.Images.GetBySlug(c.ctx, "none")).refused(c.report, "Images.GetBySlug of none", 404, "not")

	stranger, err := client(c.url, "not-a-token")
	if err != nil {
		panic(err)
	}
	got(stranger.Account.Get(c.ctx)).refused(c.report, "Account.Get with a wrong token", 401, "unable to authenticate")
	reader, err := client(c.url, c.readOnly)
	if err != nil {
		panic(err)
	}
	got(reader.Account.Get(c.ctx)).report(c.report, "Account.Get with a token that may only read", 200, nil)
	got(reader.Tags.Create(c.ctx, &godo.TagCreateRequest{Name: "godo-forbidden"})).
		refused(c.report, "Tags.Create with a token that may only read", 403, "not authorized")

	c.fault(429)
	got(c.Account.Get(c.ctx)).refused(c.report, "Account.Get beyond the limit", 429, "rate limit exceeded")
	c.fault(503)
	got(c.Account.Get(c.ctx)).refused(c.report, "Account.Get of a cloud in trouble", 503, "")
	// godo's own retries, which are on unless a caller makes its client otherwise, must get over it.
	c.fault(500)
	patient := godo.NewFromToken(c.token)
	patient.BaseURL = c.BaseURL
	got(patient.Account.Get(c.ctx)).report(c.report, "Account.Get with godo's retries", 200, nil)
}

// fault makes the next request for the account fail: a request of the lab's cloud, not of DigitalOcean's API.
func (c *cloud) fault(status int) {
	got(raw[struct{}](c, http.MethodPost, "lab/faults", map[string]any{
		"method": "GET", "path": "^/v2/account$", "kind": "status", "status": status, "times": 1,
	})).report(c.report, fmt.Sprintf("a fault %d at will", status), 204, nil)
}
