package record

import "time"

// Tend does now what is done from time to time.
func Tend(s *Store, now time.Time) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.tend(now)
}

// Size is what all records take on disk, in bytes.
func Size(s *Store) int64 { return s.size() }
