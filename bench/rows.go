package main

import (
	"cmp"
	"slices"
)

// figureOf is one of the figures of a sample.
type figureOf struct {
	name, unit string
	get        func(sample) float64
}

func figures() []figureOf {
	return []figureOf{
		{"throughput", perSecond, func(s sample) float64 { return s.PerSecond }},
		{"p50", millisecond, func(s sample) float64 { return s.P50 }},
		{"p99", millisecond, func(s sample) float64 { return s.P99 }},
		{"CPU per call", microsecond, func(s sample) float64 { return s.CPU }},
	}
}

func (p *place) values(clients int, get func(sample) float64) []float64 {
	var values []float64
	for _, s := range p.Samples[clients] {
		values = append(values, get(s))
	}
	return values
}

// rows gives the table.
func (b *bench) rows() []row {
	rows := b.lines()
	judge(rows, aims())
	return rows
}

func (b *bench) lines() []row {
	var rows []row
	switch b.opts.only {
	case partQueue:
		return b.queue.rows()
	case partWeb:
		return b.web.rows()
	case partTimers:
		return b.timers.rows()
	case partJobs:
		return b.jobs.rows()
	case partFlows:
		return b.flows.rows()
	case partIdle:
		return b.paged.rows()
	case partEdge:
		return slices.Concat(b.bound.rows(), b.fleet.rows())
	case partControl:
		return b.control.rows()
	}
	if b.opts.only == partCold {
		return b.coldRows()
	}
	for _, m := range b.langs {
		rows = append(rows, b.warmRows(m)...)
	}
	if b.opts.only == partWarm {
		return append(rows, b.memoryRows()...)
	}
	rows = append(rows, b.coldRows()...)
	if b.web != nil {
		rows = append(rows, b.web.rows()...)
	}
	rows = append(rows, b.forkRows()...)
	rows = append(rows, b.memoryRows()...)
	return slices.Concat(rows, b.queue.rows(), b.timers.rows(), b.jobs.rows(), b.bound.rows(), b.fleet.rows(), b.flows.rows(), b.paged.rows())
}

// coldRows are the lines of first calls, and of calls that get a fresh instance each.
func (b *bench) coldRows() []row {
	var rows []row
	for _, m := range b.langs {
		if !m.Bare {
			rows = append(rows, m.coldRows()...)
		}
	}
	rows = append(rows, b.wasmRows()...)
	rows = append(rows, row{Line: "Go process cold, p50", Unit: millisecond, Floor: quantile(b.goCold.Spawn, 0.5)})
	if b.executables != nil {
		rows = append(rows, b.executables.rows(b.goCold.Spawn)...)
	}
	return rows
}

// warmRows are the lines of a language under load: beside one persistent worker, and throughput beside the echo too.
func (b *bench) warmRows(m *measured) []row {
	var rows []row
	for _, clients := range concurrencies {
		for _, f := range figures() {
			rows = append(rows, pair(m.warm(f.name, clients), f, clients, m.hanshu, m.floor))
		}
		rows = append(rows, pair(m.warm("throughput by Go echo", clients), figures()[0], clients, m.hanshu, b.echo))
	}
	return rows
}

// pair sets a place beside its floor.
func pair(line string, f figureOf, clients int, p, floor *place) row {
	values, floors := p.values(clients, f.get), floor.values(clients, f.get)
	return row{Line: line, Unit: f.unit, Value: median(values), Floor: median(floors), Ratio: medianRatio(values, floors)}
}

// coldRows are the lines of a language's first calls. The server's own split is of the medians.
func (m *measured) coldRows() []row {
	var rows []row
	for _, q := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		value, floor := quantile(m.cold.Call, q.part), quantile(m.cold.Spawn, q.part)
		rows = append(rows, row{Line: m.Title + " cold, " + q.name, Unit: millisecond, Value: value, Floor: floor, Ratio: over(value, floor)})
	}
	for _, part := range []struct {
		name   string
		values []float64
	}{{"queue", m.cold.Queue}, {"init", m.cold.Init}, {"run", m.cold.Run}} {
		if len(part.values) > 0 {
			rows = append(rows, row{Line: m.Title + " cold, of that " + part.name, Unit: millisecond, Value: quantile(part.values, 0.5)})
		}
	}
	return rows
}

func (b *bench) memoryRows() []row {
	rows := []row{
		{Line: "server start to ready", Unit: millisecond, Value: ms(b.server.begun)},
		{Line: lineRSSReady, Unit: mebibyte, Value: b.ready.RSS},
		{Line: lineRSSCalled, Unit: mebibyte, Value: b.called.RSS},
		{Line: lineRSSLoaded, Unit: mebibyte, Value: b.loaded.RSS, Floor: b.echoLoaded.RSS, Ratio: over(b.loaded.RSS, b.echoLoaded.RSS)},
		{Line: lineRSSQuiet, Unit: mebibyte, Value: b.quiet.RSS},
		{Line: "server PSS, after load", Unit: mebibyte, Value: b.loaded.PSS, Floor: b.echoLoaded.PSS, Ratio: over(b.loaded.PSS, b.echoLoaded.PSS)},
	}
	for _, m := range b.langs {
		floor := median(m.floorPSS)
		first, loaded := median(m.firstPSS), median(m.loadedPSS)
		rows = append(rows,
			row{Line: m.Title + " instance PSS, one warm", Unit: mebibyte, Value: first, Floor: floor, Ratio: over(first, floor)},
			row{Line: m.Title + " instance PSS, after load", Unit: mebibyte, Value: loaded, Floor: floor, Ratio: over(loaded, floor)},
			row{Line: m.Title + " instances after load", Unit: count, Value: float64(len(m.loadedPSS))},
			row{Line: m.Title + " instance PSS, idle, one of many", Unit: mebibyte, Value: median(m.idlePSS)})
	}
	return rows
}

// over is a ratio; 0 when there is no floor.
func over(value, floor float64) float64 {
	if floor == 0 {
		return 0
	}
	return value / floor
}

// places are all that was put under load.
func (b *bench) places() []*place {
	if b.echo == nil {
		return nil
	}
	places := []*place{b.echo}
	for _, m := range b.langs {
		places = append(places, m.floor, m.hanshu)
	}
	return places
}

// foreign is the median, over all samples, of the processors that other programs used.
func (b *bench) foreign() float64 {
	if b.control != nil {
		return b.control.foreign
	}
	var values []float64
	for _, p := range b.places() {
		for _, samples := range p.Samples {
			for _, s := range samples {
				values = append(values, s.Foreign)
			}
		}
	}
	return median(values)
}

// faults counts wrong answers and errors, of floors too, and gives one of them.
func (b *bench) faults() (wrong, errors int64, first string) {
	for _, m := range b.langs {
		wrong += m.cold.Wrong
		first = cmp.Or(first, m.cold.First)
	}
	places := b.places()
	if e := b.executables; e != nil {
		places = append(places, e.warm, e.echo)
		for _, t := range []coldTimes{e.goCold, e.custom} {
			wrong += t.Wrong
			first = cmp.Or(first, t.First)
		}
	}
	for _, p := range places {
		for _, samples := range p.Samples {
			for _, s := range samples {
				wrong += s.Wrong
				errors += s.Errors
				first = cmp.Or(first, s.First)
			}
		}
	}
	for _, s := range append(b.queue.samples(), b.web.samples()...) {
		wrong += s.Wrong
		errors += s.Errors
		first = cmp.Or(first, s.First)
	}
	if p := b.paged; p != nil {
		wrong += p.wake.Wrong
		first = cmp.Or(first, p.wake.First)
	}
	return wrong + b.goCold.Wrong + b.wasm.calls.Wrong, errors, cmp.Or(first, b.goCold.First, b.wasm.calls.First)
}
