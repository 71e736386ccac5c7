package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/digitalocean/godo"
)

func (c *cloud) domains() {
	const zone = "godo.example"
	request := &godo.DomainCreateRequest{Name: zone, IPAddress: "203.0.113.9"}
	got(c.Domains.Create(c.ctx, request)).report(c.report, "Domains.Create", 201,
		func(check *checks, domain *godo.Domain) { check.equal("name", domain.Name, zone) })
	got(c.Domains.Create(c.ctx, request)).refused(c.report, "Domains.Create of the same one", 422, "already exists")
	got(c.Domains.Get(c.ctx, zone)).report(c.report, "Domains.Get", 200, func(check *checks, domain *godo.Domain) {
		check.equal("name", domain.Name, zone)
		check.equal("ttl", domain.TTL, 1800)
		check.that(strings.Contains(domain.ZoneFile, "$ORIGIN "+zone+"."), "zone_file is %q", domain.ZoneFile)
	})
	until(c.report, "Domains.List", func() ([]godo.Domain, *godo.Response, error) {
		return c.Domains.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(domains []godo.Domain) bool {
		return slices.ContainsFunc(domains, func(domain godo.Domain) bool { return domain.Name == zone })
	})

	is := func(name, data string, ttl int) func(*checks, *godo.DomainRecord) {
		return func(check *checks, record *godo.DomainRecord) {
			check.that(record.ID > 0, "id is %d", record.ID)
			check.equal("type", record.Type, "A")
			check.equal("name", record.Name, name)
			check.equal("data", record.Data, data)
			check.equal("ttl", record.TTL, ttl)
		}
	}
	record := got(c.Domains.CreateRecord(c.ctx, zone, &godo.DomainRecordEditRequest{
		Type: "A", Name: "*.apps", Data: "203.0.113.10",
	})).report(c.report, "Domains.CreateRecord", 201, is("*.apps", "203.0.113.10", 1800))
	got(c.Domains.CreateRecord(c.ctx, zone, &godo.DomainRecordEditRequest{Type: "A", Name: "bad", Data: "not an address"})).
		refused(c.report, "Domains.CreateRecord with bad data", 422, "")
	got(c.Domains.Record(c.ctx, zone, record.ID)).
		report(c.report, "Domains.Record", 200, is("*.apps", "203.0.113.10", 1800))
	edit := &godo.DomainRecordEditRequest{Type: "A", Name: "*.apps", Data: "203.0.113.11", TTL: 60}
	got(c.Domains.EditRecord(c.ctx, zone, record.ID, edit)).
		report(c.report, "Domains.EditRecord", 200, is("*.apps", "203.0.113.11", 60))
	// godo edits by PUT; the official plugin's provider has PATCH in its documentation as well.
	patched := got(raw[struct {
		Record godo.DomainRecord `json:"domain_record"`
	}](c, "PATCH", fmt.Sprintf("v2/domains/%s/records/%d", zone, record.ID), map[string]any{"type": "A", "ttl": 90}))
	patched.report(c.report, "a PATCH of a record", 200, nil)

	records := func(name string, types []string, list func() ([]godo.DomainRecord, *godo.Response, error)) {
		until(c.report, name, list, func(records []godo.DomainRecord) bool {
			var found []string
			for _, record := range records {
				found = append(found, record.Type)
			}
			slices.Sort(found)
			return slices.Equal(found, types)
		})
	}
	records("Domains.Records", []string{"A", "A", "NS", "NS", "NS", "SOA"}, func() ([]godo.DomainRecord, *godo.Response, error) {
		return c.Domains.Records(c.ctx, zone, nil)
	})
	records("Domains.RecordsByType", []string{"A", "A"}, func() ([]godo.DomainRecord, *godo.Response, error) {
		return c.Domains.RecordsByType(c.ctx, zone, "A", nil)
	})
	// The API wants the whole name here, unlike in the record itself.
	records("Domains.RecordsByName", []string{"A"}, func() ([]godo.DomainRecord, *godo.Response, error) {
		return c.Domains.RecordsByName(c.ctx, zone, "*.apps."+zone, nil)
	})
	records("Domains.RecordsByTypeAndName", []string{"A"}, func() ([]godo.DomainRecord, *godo.Response, error) {
		return c.Domains.RecordsByTypeAndName(c.ctx, zone, "A", "*.apps."+zone, nil)
	})
	done(c.Domains.DeleteRecord(c.ctx, zone, record.ID)).report(c.report, "Domains.DeleteRecord", 204, nil)
	got(c.Domains.Record(c.ctx, zone, record.ID)).refused(c.report, "Domains.Record after its end", 404, "not")
	done(c.Domains.Delete(c.ctx, zone)).report(c.report, "Domains.Delete", 204, nil)
	got(c.Domains.Get(c.ctx, zone)).refused(c.report, "Domains.Get after its end", 404, "not")
}
