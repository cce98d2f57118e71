package record

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/hanshu-faas/hanshu/internal/faas"
)

// maxLooked bounds the records that one page looks at: where a filter passes few, a page may hold fewer than asked for.
const maxLooked = 50_000

// maxPageBytes bounds a page of whole records, but for the last of them.
const maxPageBytes = 4 << 20

// view is what there is at one moment.
type view struct {
	segments []*segment
	raw      []byte
	entries  []entry
	numbers  []uint32 // of the functions meant, sorted
}

// look takes a view on the records of a filter's functions. Everything added before is in it.
func (s *Store) look(f *faas.RecordFilter) view {
	s.flush()
	s.mu.RLock()
	defer s.mu.RUnlock()
	v := view{segments: s.segments, raw: s.journal.raw, entries: s.journal.entries}
	for n, number := range s.names {
		if n.project == f.Project && (f.Name == "" || n.name == f.Name && n.pkg == f.Package) {
			v.numbers = append(v.numbers, number)
		}
	}
	slices.Sort(v.numbers)
	return v
}

func (v *view) means(fn uint32) bool {
	_, ok := slices.BinarySearch(v.numbers, fn)
	return ok
}

// List gives a page of records. A segment that cannot be read is left out, and reported in the server's log.
func (s *Store) List(ctx context.Context, f faas.RecordFilter) (faas.RecordPage, error) {
	if !f.From.IsZero() {
		f.After = max(f.After, f.From.UnixMicro()-1)
	}
	if !f.To.IsZero() && (f.Before == 0 || f.To.UnixMicro() < f.Before) {
		f.Before = f.To.UnixMicro()
	}
	v := s.look(&f)
	p := &pager{filter: &f, limit: max(f.Limit, 1)}
	if len(v.numbers) == 0 {
		return faas.RecordPage{}, nil
	}
	if !f.Oldest {
		s.listJournal(p, &v)
	}
	for i := range v.segments {
		if !f.Oldest {
			i = len(v.segments) - 1 - i
		}
		if err := ctx.Err(); err != nil {
			return faas.RecordPage{}, faas.Errorf(faas.CodeCancelled, "", "the caller went away")
		}
		if p.over {
			break
		}
		s.skim(v.segments[i], func(o *opened) error { return p.segment(o, &v) })
	}
	if f.Oldest {
		s.listJournal(p, &v)
	}
	return p.page, nil
}

// skim opens a segment for a while. One that has gone in the meantime was too old.
func (s *Store) skim(seg *segment, read func(*opened) error) {
	file, err := os.Open(seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = seg.verify(file)
		if err == nil {
			err = read(&opened{segment: seg, file: file, decoder: s.decoder, names: &interned{}})
		}
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		s.damaged.Inc()
		s.cfg.Log.Error("a file of records cannot be read; what it holds is not shown", "file", seg.path, "error", err)
	}
}

// pager fills a page.
type pager struct {
	filter *faas.RecordFilter
	limit  int
	looked int   // records
	seen   int64 // Seq of the last of them
	bytes  int   // of Whole records on the page
	over   bool
	page   faas.RecordPage
}

// outside tells of a position that the filter's bounds leave out.
func (p *pager) outside(seq int64) bool {
	return seq <= p.filter.After || p.filter.Before != 0 && seq >= p.filter.Before
}

// full tells whether there is no room for another record, which is where the next page begins.
func (p *pager) full() bool {
	if len(p.page.Records) < p.limit && p.looked < maxLooked && p.bytes < maxPageBytes {
		return false
	}
	p.page.Next, p.over = p.seen, true
	return true
}

func (p *pager) add(r faas.Record) {
	p.page.Records = append(p.page.Records, r)
	if p.filter.Whole {
		p.bytes += weight(&r)
	}
}

// passes tells whether a record is meant.
func (p *pager) passes(r *faas.Record) bool {
	f := p.filter
	version := r.Key.Version
	if strings.HasPrefix(f.Version, "!") {
		version = faas.Qualifier("", r.Alias)
	}
	return (f.Version == "" || version == f.Version) && (f.Source == "" || r.Source == f.Source) &&
		(f.Code == "" || r.Code == f.Code) && (!f.Failed || r.Code != "") && (!f.Succeeded || r.Code == "")
}

// listJournal takes what is meant of the journal.
func (s *Store) listJournal(p *pager, v *view) {
	names := interned{}
	for i := range v.entries {
		if !p.filter.Oldest {
			i = len(v.entries) - 1 - i
		}
		e := v.entries[i]
		if p.outside(e.seq) || !v.means(e.fn) || p.filter.Failed && !e.failed {
			continue
		}
		if p.over || p.full() {
			return
		}
		p.looked++
		p.seen = e.seq
		rec, err := readEntry(v.raw, e, p.filter.Whole, &names)
		if err == nil && p.passes(&rec) {
			p.add(rec)
		}
	}
}

// segment takes what is meant of a segment.
func (p *pager) segment(o *opened, v *view) error {
	if o.last <= p.filter.After || p.filter.Before != 0 && o.first >= p.filter.Before {
		return nil
	}
	ordinals, err := o.ordinals(o.file, v.numbers, p.filter.Failed || p.filter.Code != "")
	if err != nil {
		return err
	}
	ordinals = p.bounded(o, ordinals)
	for i := range ordinals {
		if !p.filter.Oldest {
			i = len(ordinals) - 1 - i
		}
		rec, err := o.read(ordinals[i])
		if err != nil {
			return err
		}
		if p.outside(rec.Seq) {
			continue
		}
		if p.full() {
			return nil
		}
		p.looked++
		p.seen = rec.Seq
		if !p.passes(&rec) {
			continue
		}
		if p.filter.Whole {
			if err := o.complete(&rec, ordinals[i]); err != nil {
				return err
			}
		}
		p.add(rec)
	}
	return nil
}

// bounded leaves out the places whose blocks of heads lie outside the filter's bounds.
func (p *pager) bounded(o *opened, ordinals []int) []int {
	if p.filter.After > 0 {
		// The first block that may hold a later record is the one before the first that begins behind After.
		i := sort.Search(len(o.heads), func(i int) bool { return o.heads[i].key > p.filter.After })
		from := max(0, i-1) * headsPerBlock
		ordinals = ordinals[sort.SearchInts(ordinals, from):]
	}
	if p.filter.Before > 0 {
		i := sort.Search(len(o.heads), func(i int) bool { return o.heads[i].key >= p.filter.Before })
		ordinals = ordinals[:sort.SearchInts(ordinals, i*headsPerBlock)]
	}
	return ordinals
}

// ByID gives the records of a request id in a project, whole, the oldest first: an asynchronous call has one for each attempt.
// Error: CodeNotFound, field "run".
func (s *Store) ByID(_ context.Context, project, id string) ([]faas.Record, error) {
	v := s.look(&faas.RecordFilter{Project: project})
	hash := hashID(id)
	var found []faas.Record
	take := func(r faas.Record) {
		if r.ID == id && r.Key.Project == project {
			found = append(found, r)
		}
	}
	for _, seg := range v.segments {
		s.skim(seg, func(o *opened) error {
			ordinals, err := o.withID(o.file, hash)
			if err != nil {
				return err
			}
			for _, ordinal := range ordinals {
				if ordinal >= o.count {
					return errDamaged
				}
				rec, err := o.read(ordinal)
				if err == nil {
					err = o.complete(&rec, ordinal)
				}
				if err != nil {
					return err
				}
				take(rec)
			}
			return nil
		})
	}
	names := interned{}
	for _, e := range v.entries {
		if e.id != hash {
			continue
		}
		if rec, err := readEntry(v.raw, e, true, &names); err == nil {
			take(rec)
		}
	}
	if len(found) == 0 {
		return nil, faas.NotFound("run", id)
	}
	slices.SortFunc(found, func(a, b faas.Record) int { return int(a.Seq - b.Seq) })
	return found, nil
}

// Changed gives a channel that closes when there are further records of any function. Ask for it before List.
func (s *Store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}
