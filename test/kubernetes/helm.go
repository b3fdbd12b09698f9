// Helm's own engine, for a chart in a folder: `helm-template CHART NAMESPACE < VALUES` prints its templates.
package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

func renderChart(args []string) {
	if len(args) != 2 {
		fail(fmt.Errorf("helm-template CHART NAMESPACE < VALUES"))
	}
	loaded, err := loader.Load(args[0])
	fail(err)
	text, err := io.ReadAll(os.Stdin)
	fail(err)
	given, err := chartutil.ReadValues(text)
	fail(err)
	release := chartutil.ReleaseOptions{Name: "vipward", Namespace: args[1], Revision: 1, IsInstall: true}
	values, err := chartutil.ToRenderValues(loaded, given, release, chartutil.DefaultCapabilities)
	fail(err)
	files, err := engine.Render(loaded, values)
	fail(err)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if text := strings.TrimSpace(files[name]); text != "" {
			fmt.Printf("---\n%s\n", text)
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
