package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// row is a line of the table. Value, Floor and Ratio are 0 when there is none.
type row struct {
	Line    string  `json:"line"`
	Unit    string  `json:"unit"`
	Value   float64 `json:"value,omitzero"`
	Floor   float64 `json:"floor,omitzero"`
	Ratio   float64 `json:"ratio,omitzero"` // of Value to Floor: the median over the rounds
	Target  string  `json:"target,omitzero"`
	Verdict string  `json:"verdict"` // met, missed, no target
}

// Units of values.
const (
	perSecond   = "/s"
	millisecond = "ms"
	microsecond = "us"
	mebibyte    = "MiB"
	count       = ""
)

// aim is what a line must reach.
type aim struct {
	ratio   bool // the ratio must reach it, not the value
	atLeast bool
	bound   float64
}

// aims are the targets, by line.
func aims() map[string]aim {
	return map[string]aim{
		"Python warm, c=16, throughput": {ratio: true, atLeast: true, bound: 0.6},
		lineWASMMedian:                  {bound: 0.3},
		lineWASMTail:                    {bound: 1},
		lineRSSReady:                    {bound: 60},
		lineRSSLoaded:                   {bound: 60},
	}
}

func (a aim) text(unit string) string {
	sign, suffix := "<=", ""
	if a.atLeast {
		sign = ">="
	}
	if a.ratio {
		suffix = "x"
	} else if unit != count {
		suffix = " " + unit
	}
	return sign + " " + strconv.FormatFloat(a.bound, 'g', -1, 64) + suffix
}

func (a aim) met(r row) bool {
	value := r.Value
	if a.ratio {
		value = r.Ratio
	}
	if a.atLeast {
		return value >= a.bound
	}
	return value <= a.bound
}

// judge writes the targets and the verdicts into the rows.
func judge(rows []row, targets map[string]aim) {
	for i := range rows {
		r := &rows[i]
		a, ok := targets[r.Line]
		if !ok {
			r.Verdict = "no target"
			continue
		}
		r.Target, r.Verdict = a.text(r.Unit), "missed"
		if a.met(*r) {
			r.Verdict = "met"
		}
	}
}

// figure writes a value with as many digits as it can be trusted with.
func figure(v float64, unit string) string {
	digits := 0
	switch {
	case unit == perSecond, unit == microsecond, unit == count, v >= 100:
	case v >= 10:
		digits = 1
	default:
		digits = 2
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if unit == count {
		return text
	}
	return text + " " + unit
}

// writeTable writes the rows in columns: the first to the left, the others to the right.
func writeTable(w io.Writer, rows []row) error {
	table := [][]string{{"line", "value", "floor", "ratio", "target", "verdict"}}
	for _, r := range rows {
		cells := []string{r.Line, "-", "-", "-", "-", r.Verdict}
		if r.Value != 0 {
			cells[1] = figure(r.Value, r.Unit)
		}
		if r.Floor != 0 {
			cells[2] = figure(r.Floor, r.Unit)
		}
		if r.Ratio != 0 {
			cells[3] = strconv.FormatFloat(r.Ratio, 'f', 2, 64)
		}
		if r.Target != "" {
			cells[4] = r.Target
		}
		table = append(table, cells)
	}
	widths := make([]int, len(table[0]))
	for _, cells := range table {
		for i, cell := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, cells := range table {
		var line strings.Builder
		fmt.Fprintf(&line, "%-*s", widths[0], cells[0])
		for i, cell := range cells[1:] {
			fmt.Fprintf(&line, "  %*s", widths[i+1], cell)
		}
		if _, err := fmt.Fprintln(w, line.String()); err != nil {
			return err
		}
	}
	return nil
}
