package main

import (
	"slices"

	"github.com/digitalocean/godo"
)

func (c *cloud) projects() {
	is := func(name, environment string) func(*checks, *godo.Project) {
		return func(check *checks, project *godo.Project) {
			check.equal("name", project.Name, name)
			check.equal("description", project.Description, "made by godo")
			// What is none of DigitalOcean's own purposes is kept with this prefix:
			// https://docs.digitalocean.com/reference/api/reference/projects/
			check.equal("purpose", project.Purpose, "Other: a rehearsal")
			check.equal("environment", project.Environment, environment)
			check.equal("is_default", project.IsDefault, false)
			check.that(project.OwnerUUID != "" && project.CreatedAt != "" && project.UpdatedAt != "",
				"it has no owner or no times")
		}
	}
	request := &godo.CreateProjectRequest{
		Name: "godo", Description: "made by godo", Purpose: "a rehearsal", Environment: "Development",
	}
	project := got(c.Projects.Create(c.ctx, request)).report(c.report, "Projects.Create", 201, is("godo", "Development"))
	got(c.Projects.Create(c.ctx, request)).refused(c.report, "Projects.Create of the same one", 409, "name")
	got(c.Projects.Get(c.ctx, project.ID)).report(c.report, "Projects.Get", 200, is("godo", "Development"))
	normal := got(c.Projects.GetDefault(c.ctx)).report(c.report, "Projects.GetDefault", 200,
		func(check *checks, project *godo.Project) { check.equal("is_default", project.IsDefault, true) })
	until(c.report, "Projects.List", func() ([]godo.Project, *godo.Response, error) {
		return c.Projects.List(c.ctx, &godo.ListOptions{PerPage: 200})
	}, func(projects []godo.Project) bool {
		return slices.ContainsFunc(projects, func(one godo.Project) bool { return one.ID == project.ID })
	})
	got(c.Projects.Update(c.ctx, project.ID, &godo.UpdateProjectRequest{Name: "godo-2", Environment: "Production"})).
		report(c.report, "Projects.Update", 200, is("godo-2", "Production"))
	// godo updates by PATCH; PUT wants all of it.
	put := got(raw[struct {
		Project godo.Project `json:"project"`
	}](c, "PUT", "v2/projects/"+project.ID, map[string]any{
		"name": "godo-3", "description": "made by godo", "purpose": "a rehearsal", "environment": "Production",
		"is_default": false,
	}))
	put.report(c.report, "a PUT of a project", 200, nil)

	holds := func(name, id string, urns ...string) {
		until(c.report, name, func() ([]godo.ProjectResource, *godo.Response, error) {
			return c.Projects.ListResources(c.ctx, id, &godo.ListOptions{PerPage: 200})
		}, func(resources []godo.ProjectResource) bool {
			for _, urn := range urns {
				if !slices.ContainsFunc(resources, func(one godo.ProjectResource) bool { return one.URN == urn }) {
					return false
				}
			}
			return true
		})
	}
	holds("Projects.ListResources of the default one", normal.ID, c.web.URN(), c.bare.URN())
	got(c.Projects.AssignResources(c.ctx, project.ID, c.web, c.bare.URN())).
		report(c.report, "Projects.AssignResources", 200, func(check *checks, resources []godo.ProjectResource) {
			check.equal("their number", len(resources), 2)
			for _, one := range resources {
				check.that(one.Links != nil && one.Links.Self != "", "%s has no link", one.URN)
				check.that(one.AssignedAt != "", "%s has no assigned_at", one.URN)
				check.that(one.Status == "ok" || one.Status == "assigned", "the status of %s is %q", one.URN, one.Status)
			}
		})
	holds("Projects.ListResources", project.ID, c.web.URN(), c.bare.URN())
	got(c.Projects.AssignResources(c.ctx, project.ID, "nonsense")).
		refused(c.report, "Projects.AssignResources of nonsense", 400, "")
	done(c.Projects.Delete(c.ctx, project.ID)).
		refused(c.report, "Projects.Delete of one with resources", 412, "cannot delete a project with resources")
	got(c.Projects.AssignResources(c.ctx, normal.ID, c.web, c.bare)).
		report(c.report, "Projects.AssignResources to the default one", 200, nil)
	// What was moved is in it for a while: github.com/digitalocean/terraform-provider-digitalocean/issues/1608.
	accepted(c.report, "Projects.Delete", func() (*godo.Response, error) { return c.Projects.Delete(c.ctx, project.ID) })
	got(c.Projects.Get(c.ctx, project.ID)).refused(c.report, "Projects.Get after its end", 404, "not")
}
