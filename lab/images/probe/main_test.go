package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHelloIsWhatAContainerSaysWithoutArguments(t *testing.T) {
	var out bytes.Buffer
	if err := run(nil, &out); err != nil || !strings.HasPrefix(out.String(), "hello from ") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestGetPrintsTheBodyAndFailsOnAnErrorStatus(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			http.Error(w, "bad", http.StatusBadGateway)
			return
		}
		w.Write([]byte("good"))
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := run([]string{"get", server.URL}, &out); err != nil || out.String() != "good" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := run([]string{"get", server.URL + "/bad"}, &out); err == nil {
		t.Error("502 was taken for success")
	}
}

func TestAnUnknownCommandSaysWhatThereIs(t *testing.T) {
	if err := run([]string{"dance"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "usage:") {
		t.Error(err)
	}
}
