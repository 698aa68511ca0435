# Builds and installs from source: make install PREFIX=$HOME/.local. Packagers set DESTDIR.

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
datadir ?= $(PREFIX)/share
mandir ?= $(datadir)/man

CARGO ?= cargo
INSTALL ?= install
# The target of the static build. If rustup has added x86_64-unknown-linux-musl, it gives a smaller binary.
TARGET ?= $(shell uname -m)-unknown-linux-gnu

BINARY = target/release/shmtool
COMPLETIONS = \
	$(datadir)/bash-completion/completions/shmtool \
	$(datadir)/zsh/site-functions/_shmtool \
	$(datadir)/fish/vendor_completions.d/shmtool.fish

build:
	$(CARGO) build --release --locked --target-dir target

# Installing does not build the binary again, so root does not need Rust: make && sudo make install.
$(BINARY):
	$(MAKE) build

install: $(BINARY)
	$(INSTALL) -D -m 755 $(BINARY) $(DESTDIR)$(bindir)/shmtool
	for page in man/*.[17]; do $(INSTALL) -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page#man/} || exit; done
	$(INSTALL) -D -m 644 completions/shmtool.bash $(DESTDIR)$(word 1,$(COMPLETIONS))
	$(INSTALL) -D -m 644 completions/_shmtool $(DESTDIR)$(word 2,$(COMPLETIONS))
	$(INSTALL) -D -m 644 completions/shmtool.fish $(DESTDIR)$(word 3,$(COMPLETIONS))

uninstall:
	rm -f $(DESTDIR)$(bindir)/shmtool $(addprefix $(DESTDIR),$(COMPLETIONS))
	for page in man/*.[17]; do rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$${page#man/}; done

# One static binary that needs no C library: target/$(TARGET)/release/shmtool.
static:
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release --locked --target-dir target --target $(TARGET)

# Builds a Debian package in target/debian. Needs cargo-deb.
deb:
	$(CARGO) deb --locked

clean:
	$(CARGO) clean --target-dir target

.PHONY: build install uninstall static deb clean
