package main

import (
	"fmt"
	"io"
	"maps"
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

// aims are the targets, by line: what must be reached, not what is aimed at.
func aims() map[string]aim {
	all := map[string]aim{
		"Python cold, p50": {bound: 2.5},
		"Python cold, p99": {bound: 6},
		"Node cold, p50":   {bound: 4},
		"PHP cold, p50":    {bound: 1.5},
		"Java cold, p50":   {bound: 5},

		"Node instance PSS, idle, one of many": {bound: 10},
		"PHP instance PSS, idle, one of many":  {bound: 6},
		"Java instance PSS, idle, one of many": {bound: 24},
		lineRSSReady:                           {bound: 50},
		lineRSSCalled:                          {bound: 50},

		lineGoWarm:     {ratio: true, atLeast: true, bound: 0.5},
		lineGoCold:     {bound: 4},
		lineCustomCold: {bound: 4},
		lineGoIdle:     {bound: 2},
		lineWeb:        {ratio: true, atLeast: true, bound: 0.5},

		lineAccept(1, "bare SQLite"):  {ratio: true, atLeast: true, bound: 0.5},
		lineAccept(16, "bare SQLite"): {ratio: true, atLeast: true, bound: 0.5},
		lineAccept(64, "bare SQLite"): {ratio: true, atLeast: true, bound: 0.5},
		lineDrain:                     {ratio: true, atLeast: true, bound: 0.7},
		lineQueued:                    {bound: 150},
		lineLate:                      {bound: 100},
		lineFlowSteps:                 {bound: 1000},
		lineFlowBulk:                  {ratio: true, atLeast: true, bound: 0.5},
		lineFlowFirst:                 {bound: 3},
		lineFlowAsleep:                {bound: 200},

		lineWASMMedian: {bound: 0.3},
		lineWASMTail:   {bound: 1},
	}
	for title, part := range map[string]float64{"Python": 0.33, "Node": 0.33, "Go frames": 0.5} {
		all[language{Title: title}.warm("throughput by Go echo", 16)] = aim{ratio: true, atLeast: true, bound: part}
	}
	for _, title := range []string{"Python", "Node"} {
		all[language{Title: title}.warm("CPU per call", 16)] = aim{ratio: true, bound: 1.6}
	}
	for _, l := range languages() {
		all[l.warm("p99", 64)] = aim{ratio: true, bound: 1.5}
	}
	for _, f := range jobFilters {
		all[lineJobs(f.name)] = aim{bound: 20}
	}
	maps.Copy(all, forkAims())
	maps.Copy(all, fleetAims())
	maps.Copy(all, boundAims())
	maps.Copy(all, controlAims())
	maps.Copy(all, pagedAims())
	return all
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
