// Notes keeps notes in files: an example, in place of which your product goes.
package main

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
)

const version = "1.0"

var key = regexp.MustCompile(`^/notes/([A-Za-z0-9-]{1,64})$`)

// store writes a note; what it acknowledges is on the disk.
func store(folder, name string, text []byte) (err error) {
	part, err := os.CreateTemp(folder, "."+name)
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // it is renamed where all goes well
	if _, err = part.Write(text); err == nil {
		err = part.Sync()
	}
	if closed := part.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(part.Name(), filepath.Join(folder, name))
}

// note serves one note: it is stored, given or removed.
func note(folder, name string, w http.ResponseWriter, r *http.Request) (status int, text []byte, err error) {
	path := filepath.Join(folder, name)
	switch r.Method {
	case http.MethodPut:
		_, missing := os.Stat(path)
		if text, err = io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16)); err == nil {
			err = store(folder, name, text)
		}
		if missing != nil {
			return http.StatusCreated, nil, err
		}
		return http.StatusOK, nil, err
	case http.MethodGet:
		text, err = os.ReadFile(path)
		return http.StatusOK, text, err
	case http.MethodDelete:
		return http.StatusNoContent, nil, os.Remove(path)
	}
	return http.StatusMethodNotAllowed, nil, nil
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("notes", version)
		return
	}
	folder, token, port := os.Getenv("NOTES_FOLDER"), os.Getenv("NOTES_TOKEN"), os.Getenv("NOTES_PORT")
	http.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "good") })
	http.HandleFunc("/notes/", func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Token")), []byte(token)) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		match := key.FindStringSubmatch(r.URL.Path)
		if match == nil {
			http.NotFound(w, r)
			return
		}
		status, text, err := note(folder, match[1], w, r)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			status, text = http.StatusNotFound, []byte("no such note")
		case err != nil:
			log.Print(err)
			status, text = http.StatusInternalServerError, nil
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		w.Write(text)
	})
	log.Printf("port %s, notes in %s", port, folder)
	log.Fatal(http.ListenAndServe(":"+port, nil))
}
