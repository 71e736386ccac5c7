package snapshots

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func settings(server *httptest.Server) S3Settings {
	return S3Settings{
		Endpoint: server.Listener.Addr().String(), Region: "fra1", Bucket: "snapshots", Folder: "dev",
		AccessKey: "key", SecretKey: "not-a-real-secret", Insecure: true, Timeout: 10 * time.Second, Retention: 2,
	}
}

func open(t *testing.T, s S3Settings) *S3 {
	t.Helper()
	opened, err := Open(context.Background(), s, "server-a-1")
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASnapshotComesBackFromTheBucketAsItWas(t *testing.T) {
	b, server := serve(t, false)
	s, text := open(t, settings(server)), strings.Repeat("etcd ", 50_000) // more than one signed chunk
	if err := s.Upload(context.Background(), file(t, "on-demand-server-a-1-1790000000", text)); err != nil {
		t.Fatal(err)
	}
	if got := b.keys(); !slices.Equal(got, []string{"dev/on-demand-server-a-1-1790000000"}) {
		t.Errorf("keys = %v", got)
	}
	if got := b.objects["dev/on-demand-server-a-1-1790000000"].node; got != "server-a-1" {
		t.Errorf("the object is of %q", got)
	}
	folder := Folder{Path: filepath.Join(t.TempDir(), "server/db/snapshots"), Create: true}
	path, err := s.Download(context.Background(), "on-demand-server-a-1-1790000000", folder)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil || string(data) != text || filepath.Dir(path) != folder.Path {
		t.Errorf("%s: %d bytes, %v", path, len(data), err)
	}
}

func TestASnapshotIsNamedAndNotAddressedWhenItIsFetched(t *testing.T) {
	b, server := serve(t, false)
	b.put("dev/nightly", time.Now())
	s, folder := open(t, settings(server)), Folder{Path: t.TempDir()}
	for _, name := range []string{"absent", "s3://snapshots/dev/nightly"} {
		_, err := s.Download(context.Background(), name, folder)
		if err == nil || !NotFound(err) || !strings.Contains(err.Error(), "failed to download snapshot from S3: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheBucketsListIsOfItsFolderWithTheTimesInTheNames(t *testing.T) {
	b, server := serve(t, false)
	b.put("dev/etcd-snapshot-server-a-1-1790000000", time.Now())
	b.put("dev/.metadata/etcd-snapshot-server-a-1-1790000000", time.Now())
	b.put("prod/etcd-snapshot-server-a-1-1790000001", time.Now())
	list, err := open(t, settings(server)).List(context.Background())
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	got := list[0]
	if got.Name != "etcd-snapshot-server-a-1-1790000000" || got.Location != "s3://snapshots/dev/"+got.Name || got.Node != "s3" ||
		got.Created.Unix() != 1790000000 || got.Size == 0 {
		t.Errorf("%+v", got)
	}
}

func TestTheBucketKeepsTheNewestOfAllServersTogether(t *testing.T) {
	b, server := serve(t, false)
	start := time.Now().Add(-time.Hour)
	for i, key := range []string{
		"dev/etcd-snapshot-server-a-1-1790000003", "dev/etcd-snapshot-server-b-1-1790000002", "dev/etcd-snapshot-server-c-1-1790000001",
	} {
		b.put(key, start.Add(time.Duration(i)*time.Minute)) // by when they came, whatever their names say
	}
	b.put("dev/on-demand-server-a-1-1780000000", start)
	b.put("prod/etcd-snapshot-server-a-1-1780000000", start)
	s := open(t, settings(server))
	removed, err := s.Retain(context.Background(), "etcd-snapshot")
	if err != nil || !slices.Equal(removed, []string{"etcd-snapshot-server-a-1-1790000003"}) {
		t.Fatal(removed, err)
	}
	if got := b.keys(); len(got) != 4 || slices.Contains(got, "dev/etcd-snapshot-server-a-1-1790000003") {
		t.Errorf("left: %v", got)
	}
	s.settings.Retention = 0
	if removed, err := s.Retain(context.Background(), ""); len(removed) > 0 || err != nil {
		t.Errorf("without a limit: %v, %v", removed, err)
	}
}

func TestWhatIsDeletedMustBeThere(t *testing.T) {
	b, server := serve(t, false)
	b.put("dev/one", time.Now())
	s := open(t, settings(server))
	if err := s.Delete(context.Background(), "one"); err != nil || len(b.keys()) > 0 {
		t.Errorf("%v, left: %v", err, b.keys())
	}
	if err := s.Delete(context.Background(), "one"); !NotFound(err) {
		t.Errorf("a second time: %v", err)
	}
}

func TestAKeyThatMayOnlyReadFailsTheUpload(t *testing.T) {
	b, server := serve(t, false)
	b.readOnly = true
	err := open(t, settings(server)).Upload(context.Background(), file(t, "one", "data"))
	if err == nil || NotFound(err) {
		t.Error(err)
	}
}

func TestABucketThatCannotBeUsedIsToldByItsReason(t *testing.T) {
	_, server := serve(t, false)
	gone := httptest.NewServer(nil)
	gone.Close()
	for want, change := range map[string]func(*S3Settings){
		"s3 bucket name was not set":     func(s *S3Settings) { s.Bucket = "" },
		"failed to get credentials":      func(s *S3Settings) { s.SecretKey = "" },
		"bucket other does not exist":    func(s *S3Settings) { s.Bucket = "other" },
		"failed to test for existence":   func(s *S3Settings) { s.AccessKey = "unknown" },
		"existence of bucket snapshots:": func(s *S3Settings) { s.Endpoint, s.Timeout = gone.Listener.Addr().String(), 200*time.Millisecond },
		"no certificates loaded":         func(s *S3Settings) { s.EndpointCA = base64.StdEncoding.EncodeToString([]byte("none")) },
	} {
		s := settings(server)
		change(&s)
		if _, err := Open(context.Background(), s, "server-a-1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestTheEndpointsCertificateIsCheckedAgainstItsAuthorityUnlessTold(t *testing.T) {
	_, server := serve(t, true)
	server.Config.ErrorLog = log.New(bytes.NewBuffer(nil), "", 0)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	path := file(t, "ca.crt", string(ca))
	s := settings(server)
	s.Insecure, s.Timeout = false, time.Second
	if _, err := Open(context.Background(), s, "server-a-1"); err == nil {
		t.Error("an unknown authority was trusted")
	}
	for name, change := range map[string]func(*S3Settings){
		"a file":  func(s *S3Settings) { s.EndpointCA = path },
		"base64":  func(s *S3Settings) { s.EndpointCA = base64.StdEncoding.EncodeToString(ca) },
		"skipped": func(s *S3Settings) { s.SkipVerify = true },
	} {
		s := s
		s.Timeout = 10 * time.Second
		change(&s)
		if _, err := Open(context.Background(), s, "server-a-1"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSecretIsNotInTheLog(t *testing.T) {
	_, server := serve(t, false)
	var said bytes.Buffer
	log.SetOutput(&said)
	defer log.SetOutput(os.Stderr)
	s := open(t, settings(server))
	if err := s.Upload(context.Background(), file(t, "one", "data")); err != nil {
		t.Fatal(err)
	}
	if text := said.String(); strings.Contains(text, s.settings.SecretKey) || !strings.Contains(text, "s3://snapshots/dev/one") {
		t.Error(text)
	}
}
