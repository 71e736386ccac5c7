package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/digitalocean/godo"
)

// serve gives a client of a server that answers everything alike.
func serve(t *testing.T, status int, body any) *cloud {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		if body != nil {
			json.NewEncoder(w).Encode(body)
		}
	}))
	t.Cleanup(server.Close)
	c, err := client(server.URL, "a token")
	if err != nil {
		t.Fatal(err)
	}
	return &cloud{Client: c, report: &report{out: &bytes.Buffer{}}, ctx: t.Context()}
}

func (c *cloud) said() string { return c.out.(*bytes.Buffer).String() }

func TestACallThatAnswersAsItMustIsOk(t *testing.T) {
	c := serve(t, 200, map[string]any{"tag": map[string]any{"name": "a"}})
	got(c.Tags.Get(c.ctx, "a")).report(c.report, "Tags.Get", 200, func(check *checks, tag *godo.Tag) {
		check.equal("name", tag.Name, "a")
	})
	if c.said() != "ok   Tags.Get\n" || c.failed != 0 {
		t.Error(c.said())
	}
}

func TestACallIsNotOkWithAnotherValueAnotherStatusNoValueOrAnError(t *testing.T) {
	for name, one := range map[string]struct {
		status int
		body   any
		says   string
	}{
		"value":  {200, map[string]any{"tag": map[string]any{"name": "b"}}, `name is "b", not "a"`},
		"status": {201, map[string]any{"tag": map[string]any{"name": "a"}}, "the status is 201, not 200"},
		"none":   {200, map[string]any{"name": "a"}, "no object under the key"},
		"error":  {500, map[string]any{"message": "no"}, "500"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, one.status, one.body)
			c.section("tags", func() {
				got(c.Tags.Get(c.ctx, "a")).report(c.report, "Tags.Get", 200, func(check *checks, tag *godo.Tag) {
					check.equal("name", tag.Name, "a")
				})
			})
			if !strings.HasPrefix(c.said(), "FAIL Tags.Get: ") || !strings.Contains(c.said(), one.says) || c.failed == 0 {
				t.Error(c.said())
			}
		})
	}
}

func TestARefusalNeedsItsStatusItsMessageAndARequestId(t *testing.T) {
	whole := map[string]any{"id": "not_found", "message": "Not found.", "request_id": "1"}
	for name, one := range map[string]struct {
		status int
		body   map[string]any
		ok     bool
	}{
		"right":      {404, whole, true},
		"status":     {422, whole, false},
		"message":    {404, map[string]any{"message": "gone", "request_id": "1"}, false},
		"request id": {404, map[string]any{"message": "Not found."}, false},
		"no error":   {200, map[string]any{"tag": map[string]any{"name": "a"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, one.status, one.body)
			got(c.Tags.Get(c.ctx, "a")).refused(c.report, "Tags.Get", 404, "not found")
			if (c.failed == 0) != one.ok {
				t.Error(c.said())
			}
		})
	}
}

func TestTheRestOfASectionIsNotTriedAfterWhatItNeeds(t *testing.T) {
	c := serve(t, 404, map[string]any{"message": "no"})
	c.section("tags", func() {
		got(c.Tags.Get(c.ctx, "a")).report(c.report, "Tags.Get", 200, nil)
		t.Error("it went on")
	})
	if !strings.Contains(c.said(), "FAIL the rest of tags: not tried") || c.failed != 2 {
		t.Error(c.said())
	}
}

func TestAServerThatKnowsNothingFailsTheRun(t *testing.T) {
	c := serve(t, 404, map[string]any{"message": "no", "request_id": "1"})
	env := map[string]string{
		"DIGITALOCEAN_API_URL": c.BaseURL.String(), "DIGITALOCEAN_TOKEN": "a", "DIGITALOCEAN_READ_ONLY_TOKEN": "b",
	}
	var out bytes.Buffer
	failed, err := run(&out, func(name string) string { return env[name] })
	if err != nil || failed == 0 || !strings.Contains(out.String(), fmt.Sprintf("%d failed", failed)) {
		t.Error(failed, err, out.String())
	}
}

func TestWithoutATokenItSaysWhatToSet(t *testing.T) {
	if _, err := run(&bytes.Buffer{}, func(string) string { return "" }); err == nil ||
		!strings.Contains(err.Error(), "DIGITALOCEAN_TOKEN") {
		t.Error(err)
	}
}
