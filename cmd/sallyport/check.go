package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
)

func newCheck(s streams) *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Say everything that is wrong with a configuration",
		Long:  "Say everything that is wrong with a configuration, with file and line, and exit 1; or say what it holds.",
		Args:  cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error {
			if asJSON {
				return checkJSON(s, file)
			}
			return check(s, file)
		}),
	}
	c.Flags().StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	c.Flags().BoolVar(&asJSON, "json", false, "print the faults as JSON")
	return c
}

func check(s streams, file string) error {
	c, err := load(s, file)
	if err != nil {
		return err
	}
	for _, api := range c.Policy.APIs {
		fmt.Fprintf(s.out, "%s: %s, %s, %s\n", api.Name, count(len(api.Hosts), "host"), count(len(api.Operations), "operation"), count(len(api.Limits), "limit"))
	}
	for _, f := range c.Absent {
		fmt.Fprintf(s.out, "not served yet, so that serve refuses to start: %s\n", f)
	}
	for _, f := range c.Notices {
		fmt.Fprintf(s.out, "note: %s\n", f)
	}
	fmt.Fprintf(s.out, "%s is valid\n", file)
	return nil
}

var errFaults = errors.New("the configuration has faults")

// fault is a sallyport.Fault as JSON.
type fault struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Path string `json:"path"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

func checkJSON(s streams, file string) error {
	c, faults := config.Load(file)
	report := struct {
		Valid  bool    `json:"valid"`
		Faults []fault `json:"faults"`
		Absent []fault `json:"absent"` // asked for, not served yet: serve refuses to start
		Notice []fault `json:"notices"`
	}{Valid: len(faults) == 0, Faults: faultsOf(faults)}
	if c != nil {
		report.Absent, report.Notice = faultsOf(c.Absent), faultsOf(c.Notices)
	}
	if err := json.NewEncoder(s.out).Encode(report); err != nil {
		return err
	}
	if len(faults) > 0 {
		return errFaults
	}
	return nil
}

func faultsOf(list []sallyport.Fault) []fault {
	out := make([]fault, 0, len(list))
	for _, f := range list {
		out = append(out, fault(f))
	}
	return out
}
