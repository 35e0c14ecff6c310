package tabfile_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// A folder with one table of names and numbers, looked up by name.
func ExampleStore() {
	root, err := os.MkdirTemp("", "tables")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)
	file := filepath.Join(root, "phones.tab")
	if err := os.WriteFile(file, []byte("# who\twhich\n\"Ann\"\t17\n"), 0o600); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	store, err := tabfile.Open(ctx, tabfile.Options{
		Root: root,
		Tables: map[string]*tabfile.Schema{"phones.tab": {
			Columns: 2,
			Bare:    1 << 1, // numbers stand without quotes
			Indexes: []tabfile.Index{{
				Name: "name",
				Key:  func(fields []string) (string, bool) { return tabfile.Fold(fields[0]), true },
			}},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	err = store.Update(ctx, func(tx *tabfile.Tx) error {
		phones := tx.Table("phones.tab")
		if _, taken := phones.First("name", "bob"); taken {
			return fmt.Errorf("Bob has a phone already")
		}
		return phones.Append("Bob", "18")
	})
	if err != nil {
		log.Fatal(err)
	}
	if row, ok := store.Table("phones.tab").First("name", "ann"); ok {
		fmt.Println("Ann has", row.Field(1))
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", text)
	// Output:
	// Ann has 17
	// # who	which
	// "Ann"	17
	// "Bob"	18
}
