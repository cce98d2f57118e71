package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hanshu-faas/hanshu/client"
)

// The exit codes. exits explains them.
const (
	exitOK          = 0
	exitFunction    = 1
	exitUsage       = 2
	exitRefused     = 3
	exitServer      = 4
	exitInterrupted = 130
)

type exit struct {
	code    int
	meaning string
}

// exits is the one table of exit codes.
func exits() []exit {
	return []exit{
		{exitOK, "done"},
		{exitFunction, "the function or the workflow's run failed; for doctor: functions cannot run here"},
		{exitUsage, "wrong flags or arguments, or a file that cannot be used"},
		{exitRefused, "the server refused: not found, not allowed, not valid"},
		{exitServer, "the server or this machine failed, or the server cannot be reached"},
		{exitInterrupted, "interrupted"},
	}
}

// exitHelp is the end of a command's help: the codes it can end with.
func exitHelp(codes ...int) string {
	var b strings.Builder
	b.WriteString("\n\nExit codes:")
	for _, e := range exits() {
		for _, code := range codes {
			if e.code == code {
				fmt.Fprintf(&b, "\n  %d  %s", e.code, e.meaning)
			}
		}
	}
	return b.String()
}

// usageError is a mistake in what the user typed or in a file the user named.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errFailed ends a command whose outcome was printed already, and was a failure of the function or of the host.
var errFailed = errors.New("failed")

// report tells an error to the user, and gives the exit code of the process.
func (c *cli) report(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errFailed) {
		return exitFunction
	}
	var usage *usageError
	if !c.started && !errors.As(err, &usage) {
		err = usagef("%s; see '%s --help'", oneLine(err.Error()), c.name) // cobra refused the command line
	}
	if !c.started && slices.Contains(c.args, "--json") {
		c.json = true // cobra gave up before it came to this flag
	}
	f := describe(err)
	if c.json {
		c.printJSON(map[string]any{"error": f})
		return f.exit
	}
	text := "hanshu: " + c.clean(oneLine(f.Message))
	switch {
	case f.Status != 0 && f.RequestID != "":
		text += " (" + c.clean(f.Code) + ", request " + c.clean(f.RequestID) + ")"
	case f.Status != 0:
		text += " (" + c.clean(f.Code) + ")"
	}
	if f.Code == codeNoFunction {
		text += "; 'hanshu ls' shows the functions there are"
	}
	c.notef("%s\n", text)
	return f.exit
}

// codeNoFunction is the server's word for a function that there is not (FunctionGraph reference 6).
const codeNoFunction = "FSS.1051"

// failure is an error as it is shown.
type failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Status    int    `json:"status,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	exit      int
}

func describe(err error) failure {
	var usage *usageError
	var api *client.APIError
	var connection *url.Error
	switch {
	case errors.As(err, &usage):
		return failure{Code: "usage", Message: usage.message, exit: exitUsage}
	case errors.As(err, &api):
		f := failure{Code: api.Code, Message: api.Message, Status: api.Status, RequestID: api.RequestID, exit: exitRefused}
		if api.Status < 400 || api.Status >= 500 || api.Status == http.StatusTooManyRequests || api.Status == http.StatusRequestTimeout {
			f.exit = exitServer
		}
		return f
	case errors.Is(err, context.Canceled):
		return failure{Code: "interrupted", Message: "interrupted", exit: exitInterrupted}
	case errors.As(err, &connection):
		return failure{Code: "connection", Message: "cannot reach " + hostOf(connection.URL) + ": " + connection.Err.Error() +
			"; is the server running ('hanshu serve')?", exit: exitServer}
	}
	return failure{Code: "failed", Message: err.Error(), exit: exitServer}
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the server"
	}
	return u.Scheme + "://" + u.Host
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
