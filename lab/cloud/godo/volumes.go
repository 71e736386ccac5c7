package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

func (c *cloud) volumes() {
	is := func(check *checks, volume *godo.Volume) {
		check.equal("name", volume.Name, "godo-data")
		check.equal("description", volume.Description, "made by godo")
		check.equal("size_gigabytes", volume.SizeGigaBytes, int64(10))
		check.equal("filesystem_type", volume.FilesystemType, "ext4")
		check.equal("its droplets", len(volume.DropletIDs), 0)
		check.equal("tags", volume.Tags, []string{c.tag})
		check.that(!volume.CreatedAt.IsZero(), "there is no created_at")
		if check.that(volume.Region != nil, "it has no region"); volume.Region != nil {
			check.equal("region", volume.Region.Slug, region)
		}
	}
	request := &godo.VolumeCreateRequest{
		Region: region, Name: "godo-data", Description: "made by godo", SizeGigaBytes: 10, FilesystemType: "ext4",
		Tags: []string{c.tag},
	}
	volume := got(c.Storage.CreateVolume(c.ctx, request)).report(c.report, "Storage.CreateVolume", 201, is)
	got(c.Storage.CreateVolume(c.ctx, request)).refused(c.report, "Storage.CreateVolume of the same one", 409, "already exists")
	got(c.Storage.CreateVolume(c.ctx, &godo.VolumeCreateRequest{Region: region, Name: "Godo_Data", SizeGigaBytes: 1})).
		refused(c.report, "Storage.CreateVolume of a bad name", 422, "name")
	got(c.Storage.GetVolume(c.ctx, volume.ID)).report(c.report, "Storage.GetVolume", 200, is)
	has := func(volumes []godo.Volume) bool {
		return slices.ContainsFunc(volumes, func(one godo.Volume) bool { return one.ID == volume.ID })
	}
	until(c.report, "Storage.ListVolumes", func() ([]godo.Volume, *godo.Response, error) {
		return c.Storage.ListVolumes(c.ctx, &godo.ListVolumeParams{ListOptions: &godo.ListOptions{PerPage: 200}})
	}, has)
	until(c.report, "Storage.ListVolumes by name and region", func() ([]godo.Volume, *godo.Response, error) {
		return c.Storage.ListVolumes(c.ctx, &godo.ListVolumeParams{Region: region, Name: "godo-data"})
	}, func(volumes []godo.Volume) bool { return len(volumes) == 1 && has(volumes) })
	until(c.report, "Storage.ListVolumes by another name", func() ([]godo.Volume, *godo.Response, error) {
		return c.Storage.ListVolumes(c.ctx, &godo.ListVolumeParams{Name: "godo-none"})
	}, func(volumes []godo.Volume) bool { return len(volumes) == 0 })

	// The API has actions of volumes belong to its "backend", and gives no number of a volume.
	act := func(name string, a answer[*godo.Action], kind string) *godo.Action {
		return c.finished("StorageActions."+name, a, 202, kind, "backend", 0)
	}
	attached := act("Attach", got(c.StorageActions.Attach(c.ctx, volume.ID, c.web.ID)), "attach_volume")
	got(c.Storage.GetVolume(c.ctx, volume.ID)).report(c.report, "Storage.GetVolume of one attached", 200,
		func(check *checks, volume *godo.Volume) {
			check.equal("droplet_ids", volume.DropletIDs, []int{c.web.ID})
		})
	got(c.Droplets.Get(c.ctx, c.web.ID)).report(c.report, "Droplets.Get of one with a volume", 200,
		func(check *checks, droplet *godo.Droplet) {
			check.equal("volume_ids", droplet.VolumeIDs, []string{volume.ID})
		})
	got(c.StorageActions.Attach(c.ctx, volume.ID, c.bare.ID)).
		refused(c.report, "StorageActions.Attach of one attached", 422, "volume is already attached")
	done(c.Storage.DeleteVolume(c.ctx, volume.ID)).refused(c.report, "Storage.DeleteVolume of one attached", 409, "attached")
	got(c.StorageActions.Get(c.ctx, volume.ID, attached.ID)).report(c.report, "StorageActions.Get", 200,
		func(check *checks, action *godo.Action) { check.equal("id", action.ID, attached.ID) })
	got(c.StorageActions.List(c.ctx, volume.ID, nil)).report(c.report, "StorageActions.List", 200,
		func(check *checks, actions []godo.Action) { check.that(len(actions) > 0, "it is empty") })
	act("Resize", got(c.StorageActions.Resize(c.ctx, volume.ID, 20, region)), "resize_volume")
	got(c.StorageActions.Resize(c.ctx, volume.ID, 5, region)).
		refused(c.report, "StorageActions.Resize to less", 422, "")
	got(c.Storage.GetVolume(c.ctx, volume.ID)).report(c.report, "Storage.GetVolume of one resized", 200,
		func(check *checks, volume *godo.Volume) {
			check.equal("size_gigabytes", volume.SizeGigaBytes, int64(20))
		})
	act("DetachByDropletID", got(c.StorageActions.DetachByDropletID(c.ctx, volume.ID, c.web.ID)), "detach_volume")
	got(c.StorageActions.DetachByDropletID(c.ctx, volume.ID, c.web.ID)).
		refused(c.report, "StorageActions.DetachByDropletID of one detached", 422, godo.ErrAttachmentNotFound)
	// godo has no methods for a volume's actions and its end by name.
	byName := got(raw[struct {
		Action *godo.Action `json:"action"`
	}](c, "POST", "v2/volumes/actions", map[string]any{
		"type": "attach", "volume_name": "godo-data", "droplet_id": c.web.ID, "region": region,
	}))
	attach := byName.report(c.report, "a POST of an action by name", 202, nil).Action
	act("Attach by name", answer[*godo.Action]{attach, byName.response, nil}, "attach_volume")
	act("DetachByDropletID again", got(c.StorageActions.DetachByDropletID(c.ctx, volume.ID, c.web.ID)), "detach_volume")
	other := &godo.VolumeCreateRequest{Region: region, Name: "godo-other", SizeGigaBytes: 1}
	got(c.Storage.CreateVolume(c.ctx, other)).report(c.report, "Storage.CreateVolume of another", 201, nil)
	got(raw[struct{}](c, "DELETE", "v2/volumes?name=godo-other&region="+region, nil)).
		report(c.report, "a DELETE by name", 204, nil)
	done(c.Storage.DeleteVolume(c.ctx, volume.ID)).report(c.report, "Storage.DeleteVolume", 204, nil)
	got(c.Storage.GetVolume(c.ctx, volume.ID)).refused(c.report, "Storage.GetVolume after its end", 404, "not")
}
