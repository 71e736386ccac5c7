package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

func (c *cloud) spacesKeys() {
	grants := []*godo.Grant{{Bucket: "godo-bucket", Permission: godo.SpacesKeyReadWrite}}
	is := func(name string) func(*checks, *godo.SpacesKey) {
		return func(check *checks, key *godo.SpacesKey) {
			check.equal("name", key.Name, name)
			check.equal("grants", key.Grants, grants)
			check.that(key.AccessKey != "" && key.CreatedAt != "", "it has no access_key or no created_at")
		}
	}
	key := got(c.SpacesKeys.Create(c.ctx, &godo.SpacesKeyCreateRequest{Name: "godo", Grants: grants})).
		report(c.report, "SpacesKeys.Create", 201, func(check *checks, key *godo.SpacesKey) {
			is("godo")(check, key)
			check.that(key.SecretKey != "", "it has no secret_key")
		})
	got(c.SpacesKeys.Create(c.ctx, &godo.SpacesKeyCreateRequest{Name: "bad", Grants: []*godo.Grant{{Permission: "all"}}})).
		refused(c.report, "SpacesKeys.Create with a bad permission", 400, "permission")
	got(c.SpacesKeys.Get(c.ctx, key.AccessKey)).report(c.report, "SpacesKeys.Get", 200,
		func(check *checks, key *godo.SpacesKey) {
			is("godo")(check, key)
			check.equal("the secret that is shown only once", key.SecretKey, "")
		})
	got(c.SpacesKeys.Update(c.ctx, key.AccessKey, &godo.SpacesKeyUpdateRequest{Name: "godo-2", Grants: grants})).
		report(c.report, "SpacesKeys.Update", 200, is("godo-2"))
	patched := got(raw[struct {
		Key godo.SpacesKey `json:"key"`
	}](c, "PATCH", "v2/spaces/keys/"+key.AccessKey, map[string]any{"name": "godo-3"}))
	patched.report(c.report, "a PATCH of a key", 200, nil)
	until(c.report, "SpacesKeys.List", func() ([]*godo.SpacesKey, *godo.Response, error) {
		return c.SpacesKeys.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(keys []*godo.SpacesKey) bool {
		return slices.ContainsFunc(keys, func(one *godo.SpacesKey) bool {
			return one.AccessKey == key.AccessKey && one.Name == "godo-3" && one.SecretKey == ""
		})
	})
	done(c.SpacesKeys.Delete(c.ctx, key.AccessKey)).report(c.report, "SpacesKeys.Delete", 204, nil)
	got(c.SpacesKeys.Get(c.ctx, key.AccessKey)).refused(c.report, "SpacesKeys.Get after its end", 404, "not")
}
