package ctrld

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/admin"
)

var fileCommands = map[string]command{
	"filelist":    fileList,
	"cfgfileget":  fileGet,
	"cfgfileset":  fileSet,
	"cfgfilestat": fileStat,
}

func fileList(ctx context.Context, c *call) ctrl.Reply {
	files, err := c.admin.Files(ctx, c.args[0], c.args[1])
	if err != nil {
		return c.answer(err)
	}
	return list(files, func(f admin.FileInfo) []string { return []string{f.Name, strconv.FormatInt(f.Size, 10)} })
}

func fileGet(ctx context.Context, c *call) ctrl.Reply {
	f, err := c.admin.File(ctx, c.args[0], c.admin.Rights(c.user))
	if err != nil {
		return c.answer(err)
	}
	return c.files(f)
}

func fileSet(ctx context.Context, c *call) ctrl.Reply {
	if len(c.args) > 1 {
		return fileSetIf(ctx, c)
	}
	if err := c.admin.CheckSetFile(ctx, c.args[0]); err != nil {
		return c.answer(err)
	}
	return ctrl.Upload(0, func(ctx context.Context, content []byte) ctrl.Reply {
		return c.answer(c.admin.SetFile(ctx, c.args[0], content))
	})
}

func fileSetIf(ctx context.Context, c *call) ctrl.Reply {
	name, generation := c.args[0], c.args[1]
	if err := c.admin.CheckSetFileIf(ctx, name, generation); err != nil {
		return c.answer(err)
	}
	return ctrl.Upload(0, func(ctx context.Context, content []byte) ctrl.Reply {
		return c.answer(c.admin.SetFileIf(ctx, name, generation, content))
	})
}

func fileStat(ctx context.Context, c *call) ctrl.Reply {
	st, err := c.admin.FileStat(ctx, c.args[0], c.admin.Rights(c.user))
	if err != nil {
		return c.answer(err)
	}
	return list(slices.Values([][]string{
		{"Size", strconv.FormatInt(st.Size, 10)},
		{"Time", st.Time.UTC().Format(time.RFC3339)},
		{"Generation", st.Generation},
	}), func(row []string) []string { return row })
}
