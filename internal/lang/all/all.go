// Package all lists the languages of this release. A new language is one folder beside this one and one line here.
package all

import (
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/adaptor/adaptorbin"
	"github.com/hanshu-faas/hanshu/internal/lang/container"
	"github.com/hanshu-faas/hanshu/internal/lang/custom"
	"github.com/hanshu-faas/hanshu/internal/lang/golang"
	"github.com/hanshu-faas/hanshu/internal/lang/httpfn"
	"github.com/hanshu-faas/hanshu/internal/lang/java"
	"github.com/hanshu-faas/hanshu/internal/lang/node"
	"github.com/hanshu-faas/hanshu/internal/lang/php"
	"github.com/hanshu-faas/hanshu/internal/lang/python"
	"github.com/hanshu-faas/hanshu/internal/lang/python27"
	"github.com/hanshu-faas/hanshu/internal/lang/wasm"
)

// All gives every language, in the order in which people are shown them.
func All() []*lang.Language {
	return []*lang.Language{
		python.Language(), python27.Language(java.Find), node.Language(), php.Language(), java.Language(),
		golang.Language(adaptorbin.Files(adaptorbin.Go)),
		custom.Language(adaptorbin.Files(adaptorbin.Web)),
		httpfn.Language(adaptorbin.Files(adaptorbin.Web)),
		container.Language(adaptorbin.Files(adaptorbin.Web)),
		wasm.Language(adaptorbin.Files(adaptorbin.WASM)),
	}
}
