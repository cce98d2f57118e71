package app

import (
	"context"

	"github.com/hanshu-faas/hanshu/internal/config"
	"github.com/hanshu-faas/hanshu/internal/lang"
	"github.com/hanshu-faas/hanshu/internal/lang/all"
)

// Runtimes tells how a server with these settings would serve each runtime name on this host.
func Runtimes(ctx context.Context, cfg config.Config) []lang.Info {
	return lang.NewCatalogue(ctx, lang.SearchDirs(cfg.Path), all.All()...).List()
}
