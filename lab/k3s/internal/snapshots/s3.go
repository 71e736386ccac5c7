package snapshots

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"seedbed/lab/k3s/internal/config"
)

const (
	nodeKey     = "K3s-Node-Name" // an object's metadata: which server it is of
	metadataDir = ".metadata"     // k3s keeps what else it knows of snapshots in there
)

// S3Settings are the flags etcd-s3-*.
type S3Settings struct {
	Endpoint, Region, Bucket, Folder   string
	AccessKey, SecretKey, SessionToken string
	EndpointCA, Lookup                 string
	Insecure, SkipVerify               bool
	Timeout                            time.Duration
	Retention                          int // how many of a name stay in the bucket, of all servers together
}

func readS3(c *config.Config) *S3Settings {
	if !c.Bool("etcd-s3") {
		return nil
	}
	return &S3Settings{
		Endpoint: c.Get("etcd-s3-endpoint", "s3.amazonaws.com"), Region: c.Get("etcd-s3-region", "us-east-1"),
		Bucket: c.Get("etcd-s3-bucket", ""), Folder: c.Get("etcd-s3-folder", ""),
		AccessKey: c.Get("etcd-s3-access-key", ""), SecretKey: c.Get("etcd-s3-secret-key", ""),
		SessionToken: c.Get("etcd-s3-session-token", ""),
		EndpointCA:   c.Get("etcd-s3-endpoint-ca", ""), Lookup: c.Get("etcd-s3-bucket-lookup-type", ""),
		Insecure: c.Bool("etcd-s3-insecure"), SkipVerify: c.Bool("etcd-s3-skip-ssl-verify"),
		Timeout:   c.Duration("etcd-s3-timeout", 5*time.Minute),
		Retention: c.Number("etcd-s3-retention", defaultRetention), // not etcd-snapshot-retention: k3s-io/k3s#13769
	}
}

// S3 is a bucket that answers.
type S3 struct {
	settings S3Settings
	client   *minio.Client
	node     string
}

// Open connects to the bucket; without one that is there and lets us in there is nothing to go on with.
//
// k3s goes on to ask the instance's metadata for a key where none is set. Here that is an error.
func Open(ctx context.Context, s S3Settings, node string) (*S3, error) {
	scheme := "https://"
	if s.Insecure {
		scheme = "http://"
	}
	log.Printf("level=info msg=%q", fmt.Sprintf("Attempting to create new S3 client for endpoint=%q bucket=%q folder=%q", scheme+s.Endpoint, s.Bucket, s.Folder))
	if s.Bucket == "" {
		return nil, errors.New("s3 bucket name was not set")
	}
	if s.AccessKey == "" || s.SecretKey == "" {
		return nil, errors.New("failed to get credentials: etcd-s3-access-key and etcd-s3-secret-key are not both set")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableCompression = true // an object is a file, byte for byte
	var err error
	if transport.TLSClientConfig, err = s.tls(); err != nil {
		return nil, err
	}
	client, err := minio.New(s.Endpoint, &minio.Options{
		Creds:  credentials.NewStaticV4(s.AccessKey, s.SecretKey, s.SessionToken),
		Secure: !s.Insecure, Region: s.Region, Transport: transport, BucketLookup: lookup(s.Endpoint, s.Lookup),
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	exists, err := client.BucketExists(ctx, s.Bucket)
	if err != nil {
		return nil, fmt.Errorf("failed to test for existence of bucket %s: %w", s.Bucket, err)
	}
	if !exists {
		return nil, fmt.Errorf("bucket %s does not exist", s.Bucket)
	}
	return &S3{s, client, node}, nil
}

func (s S3Settings) tls() (*tls.Config, error) {
	if s.SkipVerify {
		return &tls.Config{InsecureSkipVerify: true}, nil
	}
	if s.EndpointCA == "" {
		return nil, nil
	}
	pool, loaded := x509.NewCertPool(), false
	for ca := range strings.SplitSeq(s.EndpointCA, " ") { // each a file's path, or a whole file in base64
		data, err := base64.StdEncoding.DecodeString(ca)
		if err != nil {
			data, err = os.ReadFile(ca)
		}
		if err != nil {
			return nil, err
		}
		loaded = pool.AppendCertsFromPEM(data) || loaded
	}
	if !loaded {
		return nil, errors.New("no certificates loaded from etcd-s3-endpoint-ca")
	}
	return &tls.Config{RootCAs: pool}, nil
}

func lookup(endpoint, kind string) minio.BucketLookupType {
	switch kind = strings.ToLower(kind); {
	case kind == "path":
		return minio.BucketLookupPath
	case kind == "dns" || strings.Contains(endpoint, "aliyun"):
		return minio.BucketLookupDNS
	}
	return minio.BucketLookupAuto
}

func (s *S3) url(key string) string { return "s3://" + s.settings.Bucket + "/" + key }

// Upload puts a snapshot's file into the bucket, under its own name.
func (s *S3) Upload(ctx context.Context, file string) error {
	key := path.Join(s.settings.Folder, filepath.Base(file))
	log.Printf("level=info msg=\"Uploading snapshot to %s\"", s.url(key))
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	_, err := s.client.FPutObject(ctx, s.settings.Bucket, key, file, minio.PutObjectOptions{
		NumThreads: 2, ContentType: "application/octet-stream", UserMetadata: map[string]string{nodeKey: s.node},
	})
	return err
}

// Download fetches a snapshot into the folder and tells where it is.
func (s *S3) Download(ctx context.Context, name string, folder Folder) (string, error) {
	if err := folder.Ensure(); err != nil {
		return "", err
	}
	file := filepath.Join(folder.Path, name)
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	err := s.client.FGetObject(ctx, s.settings.Bucket, path.Join(s.settings.Folder, name), file, minio.GetObjectOptions{})
	if err != nil {
		return "", fmt.Errorf("failed to download snapshot from S3: %w", err)
	}
	return file, os.Chmod(file, 0o600)
}

// List gives the snapshots in the bucket's folder, of all servers.
func (s *S3) List(ctx context.Context) ([]Snapshot, error) {
	objects, err := s.objects(ctx, s.settings.Folder)
	if err != nil {
		return nil, err
	}
	var out []Snapshot
	for _, object := range objects {
		if object.Size == 0 {
			continue
		}
		name := path.Base(object.Key)
		out = append(out, Snapshot{Name: name, Location: s.url(object.Key), Node: "s3", Size: object.Size, Created: created(name, object.LastModified)})
	}
	return out, nil
}

func (s *S3) objects(ctx context.Context, prefix string) ([]minio.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	var out []minio.ObjectInfo
	for object := range s.client.ListObjects(ctx, s.settings.Bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if object.Err != nil {
			return nil, object.Err
		}
		if path.Base(path.Dir(object.Key)) != metadataDir {
			out = append(out, object)
		}
	}
	return out, nil
}

// Retain removes the oldest of those whose names begin with `base`, of whichever server they are (k3s-io/k3s#8099), until
// as many are left as is configured.
func (s *S3) Retain(ctx context.Context, base string) ([]string, error) {
	keep := s.settings.Retention
	if keep < 1 {
		return nil, nil
	}
	prefix := path.Join(s.settings.Folder, base)
	log.Printf("level=info msg=\"Applying snapshot retention=%d to snapshots stored in %s\"", keep, s.url(prefix))
	objects, err := s.objects(ctx, prefix)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(objects, func(a, b minio.ObjectInfo) int { return a.LastModified.Compare(b.LastModified) })
	var removed []string
	for _, old := range objects[:max(0, len(objects)-keep)] {
		log.Printf("level=info msg=\"Removing S3 snapshot: %s\"", s.url(old.Key))
		name := path.Base(old.Key)
		if err := s.Delete(ctx, name); err != nil && !NotFound(err) { // not found: another server was quicker
			return removed, err
		}
		removed = append(removed, name)
	}
	return removed, nil
}

// Delete removes a snapshot from the bucket; NotFound tells whether it was not there.
func (s *S3) Delete(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, s.settings.Timeout)
	defer cancel()
	key := path.Join(s.settings.Folder, name)
	if _, err := s.client.StatObject(ctx, s.settings.Bucket, key, minio.StatObjectOptions{}); err != nil {
		return err
	}
	return s.client.RemoveObject(ctx, s.settings.Bucket, key, minio.RemoveObjectOptions{})
}

// NotFound tells an object or a file that is not there from other failures.
func NotFound(err error) bool {
	var answer minio.ErrorResponse
	return errors.Is(err, os.ErrNotExist) || errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}
