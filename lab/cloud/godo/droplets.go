package main

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/digitalocean/godo"
)

func (c *cloud) droplets() {
	c.web = got(c.Droplets.Create(c.ctx, &godo.DropletCreateRequest{
		Name:       "godo-web-1",
		Region:     region,
		Size:       size,
		Image:      godo.DropletCreateImage{Slug: image},
		SSHKeys:    []godo.DropletCreateSSHKey{{ID: c.key.ID}},
		Monitoring: true,
		UserData:   "#cloud-config\n{}\n",
		Tags:       []string{c.tag},
		VPCUUID:    c.vpc.ID,
	})).report(c.report, "Droplets.Create", 202, func(check *checks, droplet *godo.Droplet) {
		check.equal("status", droplet.Status, "new")
		check.equal("name", droplet.Name, "godo-web-1")
		check.that(droplet.ID > 0, "id is %d", droplet.ID)
	})
	both := got(c.Droplets.CreateMultiple(c.ctx, &godo.DropletMultiCreateRequest{
		Names:   []string{"godo-bare-1", "godo-bare-2"},
		Region:  region,
		Size:    size,
		Image:   godo.DropletCreateImage{Slug: image},
		VPCUUID: c.vpc.ID,
	})).report(c.report, "Droplets.CreateMultiple", 202, func(check *checks, droplets []godo.Droplet) {
		check.equal("their number", len(droplets), 2)
	})
	if len(both) != 2 {
		panic(stop{})
	}
	c.web = c.active(c.web.ID)
	c.bare = c.active(both[0].ID)
	second := c.active(both[1].ID)
	c.dropletIs(c.web, "godo-web-1", []string{c.tag})
	c.dropletIs(c.bare, "godo-bare-1", []string{})

	for what, request := range map[string]*godo.DropletCreateRequest{
		"an unknown size":   {Name: "godo-bad", Region: region, Size: "s-none", Image: godo.DropletCreateImage{Slug: image}},
		"an unknown region": {Name: "godo-bad", Region: "nowhere1", Size: size, Image: godo.DropletCreateImage{Slug: image}},
		"an unknown image":  {Name: "godo-bad", Region: region, Size: size, Image: godo.DropletCreateImage{Slug: "none"}},
		"a bad name":        {Name: "godo_bad", Region: region, Size: size, Image: godo.DropletCreateImage{Slug: image}},
	} {
		got(c.Droplets.Create(c.ctx, request)).refused(c.report, "Droplets.Create with "+what, 422, "")
	}

	c.listed("Droplets.List", []int{c.web.ID, c.bare.ID, second.ID}, func() ([]godo.Droplet, *godo.Response, error) {
		return c.Droplets.List(c.ctx, &godo.ListOptions{PerPage: 200})
	})
	c.listed("Droplets.ListByName", []int{c.bare.ID}, func() ([]godo.Droplet, *godo.Response, error) {
		return c.Droplets.ListByName(c.ctx, "godo-bare-1", nil)
	})
	c.listed("Droplets.ListByTag", []int{c.web.ID}, func() ([]godo.Droplet, *godo.Response, error) {
		return c.Droplets.ListByTag(c.ctx, c.tag, nil)
	})

	as := godo.Resource{ID: strconv.Itoa(second.ID), Type: godo.DropletResourceType}
	done(c.Tags.TagResources(c.ctx, c.tag, &godo.TagResourcesRequest{Resources: []godo.Resource{as}})).
		report(c.report, "Tags.TagResources", 204, nil)
	got(c.Tags.Get(c.ctx, c.tag)).report(c.report, "Tags.Get of one in use", 200, func(check *checks, tag *godo.Tag) {
		if check.that(tag.Resources != nil && tag.Resources.Droplets != nil, "it has no droplets"); tag.Resources != nil {
			check.equal("resources.count", tag.Resources.Count, 2)
		}
	})
	done(c.Tags.UntagResources(c.ctx, c.tag, &godo.UntagResourcesRequest{Resources: []godo.Resource{as}})).
		report(c.report, "Tags.UntagResources", 204, nil)

	got(c.VPCs.ListMembers(c.ctx, c.vpc.ID, nil, nil)).report(c.report, "VPCs.ListMembers", 200,
		func(check *checks, members []*godo.VPCMember) {
			check.that(slices.ContainsFunc(members, func(member *godo.VPCMember) bool {
				return member.URN == c.web.URN() && member.Name == c.web.Name
			}), "%s is missing", c.web.URN())
		})
	done(c.VPCs.Delete(c.ctx, c.vpc.ID)).refused(c.report, "VPCs.Delete of one in use", 409, "members")
	done(c.Droplets.Delete(c.ctx, second.ID)).report(c.report, "Droplets.Delete", 204, nil)
	c.gone("Droplets.Get after its end", second.ID)
}

func (c *cloud) dropletIs(droplet *godo.Droplet, name string, tags []string) {
	var check checks
	check.equal("name", droplet.Name, name)
	check.equal("tags", append([]string{}, droplet.Tags...), tags)
	check.equal("size_slug", droplet.SizeSlug, size)
	check.equal("memory", droplet.Memory, 4096)
	check.equal("vcpus", droplet.Vcpus, 2)
	check.equal("vpc_uuid", droplet.VPCUUID, c.vpc.ID)
	check.equal("locked", droplet.Locked, false)
	check.equal("its volumes", len(droplet.VolumeIDs), 0)
	if check.that(droplet.Region != nil, "it has no region"); droplet.Region != nil {
		check.equal("region", droplet.Region.Slug, region)
	}
	if check.that(droplet.Image != nil, "it has no image"); droplet.Image != nil {
		check.equal("image", droplet.Image.Slug, image)
	}
	if check.that(droplet.Size != nil, "it has no size"); droplet.Size != nil {
		check.equal("size", droplet.Size.Slug, size)
	}
	public, err := droplet.PublicIPv4()
	check.that(err == nil && public != "", "it has no public address: %v", err)
	private, _ := droplet.PrivateIPv4()
	address, err := netip.ParseAddr(private)
	check.that(err == nil && netip.MustParsePrefix(c.vpc.IPRange).Contains(address),
		"its private address %q is not in %s", private, c.vpc.IPRange)
	c.line("what Droplets.Get says of "+name, check.problems)
}

func (c *cloud) active(id int) *godo.Droplet {
	return until(c.report, "Droplets.Get", func() (*godo.Droplet, *godo.Response, error) {
		return c.Droplets.Get(c.ctx, id)
	}, func(droplet *godo.Droplet) bool { return droplet.Status == "active" && !droplet.Locked })
}

func (c *cloud) gone(name string, id int) {
	until(c.report, name, func() (bool, *godo.Response, error) {
		_, response, err := c.Droplets.Get(c.ctx, id)
		if response != nil && response.StatusCode == 404 {
			response.StatusCode, err = 200, nil
			return true, response, err
		}
		return false, response, err
	}, func(gone bool) bool { return gone })
}

func (c *cloud) listed(name string, ids []int, list func() ([]godo.Droplet, *godo.Response, error)) {
	slices.Sort(ids)
	until(c.report, name, list, func(droplets []godo.Droplet) bool {
		var found []int
		for _, droplet := range droplets {
			found = append(found, droplet.ID)
		}
		slices.Sort(found)
		return slices.Equal(found, ids)
	})
}

// finished waits for an action, and compares what it is.
func (c *cloud) finished(name string, a answer[*godo.Action], status int, kind, resource string, id int) *godo.Action {
	action := a.report(c.report, name, status, func(check *checks, action *godo.Action) {
		check.equal("type", action.Type, kind)
		check.equal("resource_type", action.ResourceType, resource)
		if id != 0 {
			check.equal("resource_id", action.ResourceID, id)
		}
		check.equal("region_slug", action.RegionSlug, region)
		check.that(action.StartedAt != nil, "there is no started_at")
	})
	return until(c.report, "Actions.Get of "+name, func() (*godo.Action, *godo.Response, error) {
		return c.Actions.Get(c.ctx, action.ID)
	}, func(action *godo.Action) bool {
		return action.Status == godo.ActionCompleted && action.CompletedAt != nil
	})
}

func (c *cloud) dropletActions() {
	id := c.bare.ID
	act := func(name string, a answer[*godo.Action], kind string) *godo.Action {
		return c.finished("DropletActions."+name, a, 201, kind, "droplet", id)
	}
	act("PowerOff", got(c.DropletActions.PowerOff(c.ctx, id)), "power_off")
	got(c.Droplets.Get(c.ctx, id)).report(c.report, "Droplets.Get of one that is off", 200,
		func(check *checks, droplet *godo.Droplet) { check.equal("status", droplet.Status, "off") })
	act("PowerOn", got(c.DropletActions.PowerOn(c.ctx, id)), "power_on")
	act("PowerCycle", got(c.DropletActions.PowerCycle(c.ctx, id)), "power_cycle")
	act("Reboot", got(c.DropletActions.Reboot(c.ctx, id)), "reboot")
	act("Rename", got(c.DropletActions.Rename(c.ctx, id, "godo-bare-renamed")), "rename")
	last := act("Shutdown", got(c.DropletActions.Shutdown(c.ctx, id)), "shutdown")
	c.bare = got(c.Droplets.Get(c.ctx, id)).report(c.report, "Droplets.Get of one renamed", 200,
		func(check *checks, droplet *godo.Droplet) { check.equal("name", droplet.Name, "godo-bare-renamed") })
	const larger = "s-4vcpu-8gb"
	act("Resize", got(c.DropletActions.Resize(c.ctx, id, larger, false)), "resize")
	got(c.Droplets.Get(c.ctx, id)).report(c.report, "Droplets.Get of one resized", 200,
		func(check *checks, droplet *godo.Droplet) {
			check.equal("size_slug", droplet.SizeSlug, larger)
			check.equal("memory", droplet.Memory, 8192)
		})
	act("PowerOn after Shutdown", got(c.DropletActions.PowerOn(c.ctx, id)), "power_on")
	act("EnableIPv6", got(c.DropletActions.EnableIPv6(c.ctx, id)), "enable_ipv6")
	act("EnableBackups", got(c.DropletActions.EnableBackups(c.ctx, id)), "enable_backups")
	policy := &godo.DropletBackupPolicyRequest{Plan: "weekly", Weekday: "SUN", Hour: godo.PtrTo(4)}
	act("ChangeBackupPolicy", got(c.DropletActions.ChangeBackupPolicy(c.ctx, id, policy)), "change_backup_policy")
	got(c.Droplets.GetBackupPolicy(c.ctx, id)).report(c.report, "Droplets.GetBackupPolicy", 200,
		func(check *checks, policy *godo.DropletBackupPolicy) {
			check.equal("droplet_id", policy.DropletID, id)
			check.equal("backup_enabled", policy.BackupEnabled, true)
			if check.that(policy.BackupPolicy != nil, "it has no backup_policy"); policy.BackupPolicy != nil {
				check.equal("plan", policy.BackupPolicy.Plan, "weekly")
				check.equal("weekday", policy.BackupPolicy.Weekday, "SUN")
				check.equal("hour", policy.BackupPolicy.Hour, 4)
			}
		})
	act("DisableBackups", got(c.DropletActions.DisableBackups(c.ctx, id)), "disable_backups")
	got(c.Droplets.Get(c.ctx, id)).report(c.report, "Droplets.Get of one with IPv6", 200,
		func(check *checks, droplet *godo.Droplet) {
			address, err := droplet.PublicIPv6()
			check.that(err == nil && address != "", "it has no IPv6 address: %v", err)
			check.that(!slices.Contains(droplet.Features, "backups"), "its features are %v", droplet.Features)
		})
	tagged := got(c.DropletActions.PowerCycleByTag(c.ctx, c.tag)).report(c.report, "DropletActions.PowerCycleByTag", 201,
		func(check *checks, actions []godo.Action) {
			check.that(len(actions) == 1 && actions[0].ResourceID == c.web.ID, "the actions are %v", actions)
		})
	for _, action := range tagged {
		until(c.report, "Actions.Get of PowerCycleByTag", func() (*godo.Action, *godo.Response, error) {
			return c.Actions.Get(c.ctx, action.ID)
		}, func(action *godo.Action) bool { return action.Status == godo.ActionCompleted })
	}
	none := func(check *checks, images []godo.Image) { check.equal("their number", len(images), 0) }
	got(c.Droplets.Backups(c.ctx, id, nil)).report(c.report, "Droplets.Backups", 200, none)
	got(c.Droplets.Snapshots(c.ctx, id, nil)).report(c.report, "Droplets.Snapshots", 200, none)
	got(c.Droplets.Kernels(c.ctx, id, nil)).report(c.report, "Droplets.Kernels", 200, nil)
	got(c.DropletActions.Get(c.ctx, id, last.ID)).report(c.report, "DropletActions.Get", 200,
		func(check *checks, action *godo.Action) { check.equal("id", action.ID, last.ID) })
	has := func(check *checks, actions []godo.Action) {
		check.that(slices.ContainsFunc(actions, func(action godo.Action) bool { return action.ID == last.ID }),
			"%d is missing", last.ID)
	}
	got(c.Droplets.Actions(c.ctx, id, nil)).report(c.report, "Droplets.Actions", 200, has)
	got(c.Actions.List(c.ctx, &godo.ListOptions{PerPage: 200})).report(c.report, "Actions.List", 200, has)
}

func (c *cloud) removeDroplets() {
	done(c.Droplets.DeleteByTag(c.ctx, c.tag)).report(c.report, "Droplets.DeleteByTag", 204, nil)
	c.gone("Droplets.Get after DeleteByTag", c.web.ID)
	done(c.Droplets.Delete(c.ctx, c.bare.ID)).report(c.report, "Droplets.Delete of the other", 204, nil)
	c.gone("Droplets.Get after the end of the other", c.bare.ID)
	done(c.Droplets.Delete(c.ctx, c.bare.ID)).refused(c.report, "Droplets.Delete of none", 404, "not")
}
