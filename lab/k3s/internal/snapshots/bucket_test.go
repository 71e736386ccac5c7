package snapshots

import (
	"bufio"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bucket answers as S3 does, so far as snapshots need it: one bucket, path style, signatures unseen.
type bucket struct {
	name string

	mu       sync.Mutex
	objects  map[string]object
	readOnly bool
	requests []string
}

type object struct {
	data     []byte
	modified time.Time
	node     string
}

func serve(t *testing.T, tls bool) (*bucket, *httptest.Server) {
	t.Helper()
	b := &bucket{name: "snapshots", objects: map[string]object{}}
	server := httptest.NewUnstartedServer(b)
	if tls {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return b, server
}

func (b *bucket) put(key string, at time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = object{[]byte("data of " + key), at, "other"}
}

func (b *bucket) keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.objects))
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, r.Method+" "+r.URL.Path)
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	found, ok := b.objects[key]
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=key/"):
		refuse(w, http.StatusForbidden, "AccessDenied")
	case name != b.name:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.Method == http.MethodHead:
	case key == "":
		b.list(w, r.URL.Query().Get("prefix"))
	case r.Method == http.MethodPut && b.readOnly:
		refuse(w, http.StatusForbidden, "AccessDenied")
	case r.Method == http.MethodPut:
		data, err := body(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		b.objects[key] = object{data, time.Now(), r.Header.Get("X-Amz-Meta-K3s-Node-Name")}
		w.Header().Set("ETag", `"etag"`)
	case !ok:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	case r.Method == http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("ETag", `"etag"`)
		w.Header().Set("Last-Modified", found.modified.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(found.data)))
		if r.Method == http.MethodGet {
			w.Write(found.data)
		}
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func (b *bucket) list(w http.ResponseWriter, prefix string) {
	type contents struct {
		Key, LastModified, ETag string
		Size                    int
	}
	var found []contents
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if o := b.objects[key]; strings.HasPrefix(key, prefix) {
			found = append(found, contents{key, o.modified.UTC().Format(time.RFC3339), "etag", len(o.data)})
		}
	}
	xml.NewEncoder(w).Encode(struct {
		XMLName     xml.Name `xml:"ListBucketResult"`
		IsTruncated bool
		Contents    []contents
	}{Contents: found})
}

// body takes the chunks apart in which a client signs what it sends in the clear.
func body(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	in, out := bufio.NewReader(r.Body), []byte{}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		digits, _, _ := strings.Cut(strings.TrimSpace(line), ";")
		size, err := strconv.ParseInt(digits, 16, 32)
		if err != nil {
			return nil, err
		}
		chunk := make([]byte, size+2) // and the end of its line
		if _, err := io.ReadFull(in, chunk); err != nil && size > 0 {
			return nil, err
		}
		if size == 0 {
			return out, nil
		}
		out = append(out, chunk[:size]...)
	}
}
