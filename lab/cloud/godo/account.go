package main

import (
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/digitalocean/godo"
)

func (c *cloud) account() {
	got(c.Account.Get(c.ctx)).report(c.report, "Account.Get", 200, func(check *checks, account *godo.Account) {
		check.equal("status", account.Status, "active")
		check.that(strings.Contains(account.Email, "@"), "email is %q", account.Email)
		check.that(account.UUID != "", "there is no uuid")
		check.that(account.DropletLimit > 0, "droplet_limit is %d", account.DropletLimit)
		check.that(account.ReservedIPLimit > 0, "reserved_ip_limit is %d", account.ReservedIPLimit)
		check.that(account.VolumeLimit > 0, "volume_limit is %d", account.VolumeLimit)
	})
}

func (c *cloud) catalogue() {
	all := &godo.ListOptions{PerPage: 200}
	got(c.Regions.List(c.ctx, all)).report(c.report, "Regions.List", 200, func(check *checks, regions []godo.Region) {
		i := slices.IndexFunc(regions, func(one godo.Region) bool { return one.Slug == region })
		if check.that(i >= 0, "%s is missing", region); i >= 0 {
			check.that(regions[i].Available, "%s is not available", region)
			check.that(regions[i].Name != "", "%s has no name", region)
			check.that(slices.Contains(regions[i].Sizes, size), "%s is not among its sizes", size)
			check.that(len(regions[i].Features) > 0, "it has no features")
		}
	})
	got(c.Sizes.List(c.ctx, all)).report(c.report, "Sizes.List", 200, func(check *checks, sizes []godo.Size) {
		i := slices.IndexFunc(sizes, func(one godo.Size) bool { return one.Slug == size })
		if check.that(i >= 0, "%s is missing", size); i >= 0 {
			check.equal("vcpus", sizes[i].Vcpus, 2)
			check.equal("memory in MiB", sizes[i].Memory, 4096)
			check.that(sizes[i].Disk > 0, "disk is %d", sizes[i].Disk)
			check.that(sizes[i].Transfer > 0, "transfer is %v", sizes[i].Transfer)
			check.that(sizes[i].PriceHourly > 0 && sizes[i].PriceHourly*24*31 >= sizes[i].PriceMonthly,
				"%v an hour is less than %v a month", sizes[i].PriceHourly, sizes[i].PriceMonthly)
			check.that(sizes[i].Available, "it is not available")
			check.that(slices.Contains(sizes[i].Regions, region), "%s is not among its regions", region)
		}
	})
	isDebian := func(check *checks, one *godo.Image) {
		check.equal("slug", one.Slug, image)
		check.equal("distribution", one.Distribution, "Debian")
		check.equal("public", one.Public, true)
		check.equal("status", one.Status, "available")
		check.that(one.ID > 0, "id is %d", one.ID)
		check.that(slices.Contains(one.Regions, region), "%s is not among its regions", region)
	}
	has := func(check *checks, images []godo.Image) {
		i := slices.IndexFunc(images, func(one godo.Image) bool { return one.Slug == image })
		if check.that(i >= 0, "%s is missing", image); i >= 0 {
			isDebian(check, &images[i])
		}
	}
	got(c.Images.List(c.ctx, all)).report(c.report, "Images.List", 200, has)
	got(c.Images.ListDistribution(c.ctx, all)).report(c.report, "Images.ListDistribution", 200, has)
	got(c.Images.ListUser(c.ctx, all)).report(c.report, "Images.ListUser", 200, func(check *checks, own []godo.Image) {
		check.equal("their number", len(own), 0)
	})
	debian := got(c.Images.GetBySlug(c.ctx, image)).report(c.report, "Images.GetBySlug", 200, isDebian)
	got(c.Images.GetByID(c.ctx, debian.ID)).report(c.report, "Images.GetByID", 200, isDebian)
}

// openSSH makes a public key as ssh-keygen writes it, and its MD5 fingerprint.
func openSSH(comment string) (line, fingerprint string) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	var blob []byte
	for _, part := range [][]byte{[]byte("ssh-ed25519"), public} {
		blob = binary.BigEndian.AppendUint32(blob, uint32(len(part)))
		blob = append(blob, part...)
	}
	sum := md5.Sum(blob)
	pairs := make([]string, len(sum))
	for i, octet := range sum {
		pairs[i] = fmt.Sprintf("%02x", octet)
	}
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob) + " " + comment, strings.Join(pairs, ":")
}

func (c *cloud) keys() {
	line, fingerprint := openSSH("godo")
	is := func(name string) func(*checks, *godo.Key) {
		return func(check *checks, key *godo.Key) {
			check.equal("name", key.Name, name)
			check.equal("fingerprint", key.Fingerprint, fingerprint)
			check.equal("public_key", key.PublicKey, line)
			check.that(key.ID > 0, "id is %d", key.ID)
		}
	}
	request := &godo.KeyCreateRequest{Name: "godo", PublicKey: line}
	c.key = got(c.Keys.Create(c.ctx, request)).report(c.report, "Keys.Create", 201, is("godo"))
	got(c.Keys.Create(c.ctx, request)).refused(c.report, "Keys.Create of the same one", 422, "already in use")
	got(c.Keys.Create(c.ctx, &godo.KeyCreateRequest{Name: "bad", PublicKey: "ssh-rsa nonsense"})).
		refused(c.report, "Keys.Create of nonsense", 422, "invalid")
	got(c.Keys.GetByID(c.ctx, c.key.ID)).report(c.report, "Keys.GetByID", 200, is("godo"))
	got(c.Keys.GetByFingerprint(c.ctx, fingerprint)).report(c.report, "Keys.GetByFingerprint", 200, is("godo"))
	got(c.Keys.UpdateByID(c.ctx, c.key.ID, &godo.KeyUpdateRequest{Name: "godo-1"})).
		report(c.report, "Keys.UpdateByID", 200, is("godo-1"))
	got(c.Keys.UpdateByFingerprint(c.ctx, fingerprint, &godo.KeyUpdateRequest{Name: "godo-2"})).
		report(c.report, "Keys.UpdateByFingerprint", 200, is("godo-2"))
	until(c.report, "Keys.List", func() ([]godo.Key, *godo.Response, error) {
		return c.Keys.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(keys []godo.Key) bool {
		return slices.ContainsFunc(keys, func(key godo.Key) bool { return key.ID == c.key.ID && key.Name == "godo-2" })
	})
}

func (c *cloud) removeKeys() {
	done(c.Keys.DeleteByID(c.ctx, c.key.ID)).report(c.report, "Keys.DeleteByID", 204, nil)
	got(c.Keys.GetByID(c.ctx, c.key.ID)).refused(c.report, "Keys.GetByID after its end", 404, "not")
	line, fingerprint := openSSH("another")
	got(c.Keys.Create(c.ctx, &godo.KeyCreateRequest{Name: "another", PublicKey: line})).
		report(c.report, "Keys.Create of another", 201, nil)
	done(c.Keys.DeleteByFingerprint(c.ctx, fingerprint)).report(c.report, "Keys.DeleteByFingerprint", 204, nil)
}

// limits compares the headers that godo reads: https://docs.digitalocean.com/reference/api/intro/ ("Rate Limit").
func (c *cloud) limits() {
	before := c.GetRate()
	var c1 checks
	c1.equal("the limit an hour", before.Limit, 5000)
	c1.that(before.Remaining > 0 && before.Remaining < before.Limit, "remaining is %d", before.Remaining)
	c1.that(before.Reset.After(time.Now().Add(-time.Minute)) && before.Reset.Before(time.Now().Add(61*time.Minute)),
		"the reset is at %v", before.Reset)
	c.line("GetRate", c1.problems)
	got(c.Account.Get(c.ctx)).report(c.report, "Account.Get counts", 200, func(check *checks, _ *godo.Account) {
		check.that(c.GetRate().Remaining < before.Remaining, "remaining was %d and is %d", before.Remaining,
			c.GetRate().Remaining)
	})
}
