// Package all lists the languages of this release. A new language is one folder beside this one and one line here.
package all

import (
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/node"
	"github.com/hanshu-faas/hanshu/internal/lang/php"
	"github.com/hanshu-faas/hanshu/internal/lang/python"
	"github.com/hanshu-faas/hanshu/internal/lang/wasm"
)

// All gives every language, in the order in which people are shown them.
func All() []*lang.Language {
	return []*lang.Language{python.Language(), node.Language(), php.Language(), wasm.Language()}
}
