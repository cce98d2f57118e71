package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// cli is what all commands share: the streams and the global flags.
type cli struct {
	in       io.Reader
	out, err io.Writer
	name     string   // of the program, as it was typed
	args     []string // what was typed behind it
	lookup   func(string) (string, bool)

	asks      bool // there is a person at standard input
	seen      bool // there is a terminal at standard output
	watched   bool // there is a terminal at standard error
	colourful bool

	adminFile string
	endpoint  string
	json      bool
	started   bool // the command line was understood
}

func newCLI() *cli {
	c := &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, name: os.Args[0], args: os.Args[1:], lookup: os.LookupEnv}
	c.asks = term.IsTerminal(int(os.Stdin.Fd()))
	c.seen = term.IsTerminal(int(os.Stdout.Fd()))
	c.watched = term.IsTerminal(int(os.Stderr.Fd()))
	c.colourful = c.seen && c.env("NO_COLOR") == "" && c.env("TERM") != "dumb"
	return c
}

func (c *cli) env(name string) string {
	value, _ := c.lookup(name)
	return value
}

// printf writes on standard output. Who reads there may go away; there is nobody to tell then.
func (c *cli) printf(format string, args ...any) { _, _ = fmt.Fprintf(c.out, format, args...) }

// notef writes on standard error.
func (c *cli) notef(format string, args ...any) { _, _ = fmt.Fprintf(c.err, format, args...) }

// printJSON writes a value on standard output.
func (c *cli) printJSON(v any) {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // plain values always encode; for the writer see printf
}

// table writes rows in columns; the first row is their heads.
func (c *cli) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
		c.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}

// clean makes a text from elsewhere harmless for a terminal: it cannot move the cursor or change colours.
func (c *cli) clean(text string) string {
	if !c.seen && !c.watched {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// Colours of paint.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint colours a text for standard output.
func (c *cli) paint(colour, text string) string {
	if !c.colourful {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// self is how this program was called, for lines that a user may paste: with the flags that name the server.
func (c *cli) self(args ...string) string {
	words := []string{c.name}
	if c.adminFile != "" {
		words = append(words, "--admin-file", c.adminFile)
	}
	if c.endpoint != "" {
		words = append(words, "--endpoint", c.endpoint)
	}
	words = append(words, args...)
	for i, word := range words {
		words[i] = quote(word)
	}
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@%+,-]+$`)

// quote writes a word so that a shell reads it as one.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// size writes bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
