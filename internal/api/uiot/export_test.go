package uiot

import "github.com/hanshu-faas/hanshu/internal/faas"

// Mapped shows tests the mapping of expected failures.
func Mapped() map[faas.Code]mapping { return mappings() }
