package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/digitalocean/godo"
)

// A report has one line per call: "ok   Tags.Get", or "FAIL Tags.Get: what is wrong".
type report struct {
	out    io.Writer
	calls  int
	failed int
}

func (r *report) line(name string, problems []string) {
	r.calls++
	if len(problems) == 0 {
		fmt.Fprintln(r.out, "ok  ", name)
		return
	}
	r.failed++
	fmt.Fprintf(r.out, "FAIL %s: %s\n", name, strings.Join(problems, "; "))
}

// stop ends a section: what follows needs what did not come.
type stop struct{}

// section runs calls that need each other; after a call that failed the rest of them is not tried.
func (r *report) section(name string, body func()) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case stop:
			r.line("the rest of "+name, []string{"not tried, as it needs what failed"})
		default:
			panic(cause)
		}
	}()
	body()
}

// checks collects what is wrong with an answer.
type checks struct{ problems []string }

func (c *checks) that(holds bool, format string, values ...any) {
	if !holds {
		c.problems = append(c.problems, fmt.Sprintf(format, values...))
	}
}

func (c *checks) equal(what string, got, want any) {
	c.that(reflect.DeepEqual(got, want), "%s is %#v, not %#v", what, got, want)
}

// An answer is what a call of godo gave back.
type answer[T any] struct {
	value    T
	response *godo.Response
	err      error
}

func got[T any](value T, response *godo.Response, err error) answer[T] {
	return answer[T]{value, response, err}
}

func done(response *godo.Response, err error) answer[struct{}] {
	return answer[struct{}]{struct{}{}, response, err}
}

// report writes the line of a call that must have ended with `status`, and with a value in which `check` (which may be
// nil) finds nothing wrong. Without a value the section ends.
func (a answer[T]) report(r *report, name string, status int, check func(*checks, T)) T {
	if a.err != nil {
		r.line(name, []string{a.err.Error()})
		panic(stop{})
	}
	if value := reflect.ValueOf(a.value); value.Kind() == reflect.Pointer && value.IsNil() {
		r.line(name, []string{"the answer holds no object under the key that godo reads"})
		panic(stop{})
	}
	var c checks
	c.equal("the status", a.response.StatusCode, status)
	if check != nil {
		check(&c, a.value)
	}
	r.line(name, c.problems)
	return a.value
}

// refused writes the line of a call that must fail with `status` and a message that holds `message`, as DigitalOcean's
// errors do: https://docs.digitalocean.com/reference/api/intro/ ("HTTP Statuses").
func (a answer[T]) refused(r *report, name string, status int, message string) {
	var c checks
	var failure *godo.ErrorResponse
	switch {
	case a.err == nil:
		c.that(false, "it was not refused")
	case !errors.As(a.err, &failure):
		c.that(false, "it failed otherwise: %v", a.err)
	default:
		c.equal("the status", failure.Response.StatusCode, status)
		c.that(strings.Contains(strings.ToLower(failure.Message), strings.ToLower(message)),
			"the message is %q, which lacks %q", failure.Message, message)
		c.that(failure.RequestID != "", "there is no request id")
	}
	r.line(name, c.problems)
}

// until repeats a call until `ready`, at most `patience`, and writes one line for it.
func until[T any](r *report, name string, ask func() (T, *godo.Response, error), ready func(T) bool) T {
	for end := time.Now().Add(patience); ; time.Sleep(interval) {
		last := got(ask())
		if last.err == nil && ready(last.value) {
			return last.report(r, name, http.StatusOK, nil)
		}
		if time.Now().After(end) {
			return last.report(r, name, http.StatusOK, func(c *checks, value T) {
				c.that(false, "not as expected after %v: %v", patience, godo.Stringify(value))
			})
		}
	}
}

// accepted repeats a call until it is not refused, at most `patience`, and writes one line for it: it must end with 204.
func accepted(r *report, name string, ask func() (*godo.Response, error)) {
	for end := time.Now().Add(patience); ; time.Sleep(interval) {
		last := done(ask())
		if last.err == nil || time.Now().After(end) {
			last.report(r, name, http.StatusNoContent, nil)
			return
		}
	}
}

const (
	patience = 60 * time.Second
	interval = 200 * time.Millisecond
)
