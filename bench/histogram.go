package main

import (
	"math/bits"
	"slices"
	"time"
)

// A histogram keeps durations in buckets that grow with the value: exact below 256 ns, within 0.8 % above, up to 18 minutes.
type histogram struct {
	counts [buckets]uint32
	total  int64
}

const (
	precision = 7 // bits of a value that are kept
	buckets   = 34 << precision
)

func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	shift := max(bits.Len64(v)-precision-1, 0)
	return min(shift<<precision+int(v>>shift), buckets-1)
}

// middle is the value that stands for a bucket.
func middle(i int) time.Duration {
	shift := max(i>>precision-1, 0)
	low := (i - shift<<precision) << shift
	return time.Duration(low + (1<<shift)/2)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
}

// quantile gives the smallest value that a part q of all values does not exceed; 0 of an empty histogram.
func (h *histogram) quantile(q float64) time.Duration {
	rank := rankOf(q, h.total)
	for i, n := range h.counts {
		if rank -= int64(n); rank <= 0 && n > 0 {
			return middle(i)
		}
	}
	return 0
}

// rankOf is the place, counted from 1, of a quantile among n sorted values.
func rankOf(q float64, n int64) int64 {
	rank := int64(q * float64(n))
	if float64(rank) < q*float64(n) {
		rank++
	}
	return min(max(rank, 1), n)
}

// quantile is histogram.quantile for a few values that are kept one by one.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[rankOf(q, int64(len(sorted)))-1]
}

// median is the middle value, or the mean of the two in the middle; 0 of none.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	switch {
	case n == 0:
		return 0
	case n%2 == 1:
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// medianRatio is the median of the ratios of pairs measured next to each other. A pair without a floor is left out.
func medianRatio(values, floors []float64) float64 {
	var ratios []float64
	for i := range min(len(values), len(floors)) {
		if floors[i] > 0 {
			ratios = append(ratios, values[i]/floors[i])
		}
	}
	return median(ratios)
}
