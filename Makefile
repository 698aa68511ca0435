# Builds and installs from source: make install PREFIX=$HOME/.local, or with DESTDIR= for a package.

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
datadir ?= $(PREFIX)/share
mandir ?= $(datadir)/man

CARGO ?= cargo
INSTALL ?= install
# Of the static build; x86_64-unknown-linux-musl, where rustup has added it, makes a smaller one.
TARGET ?= $(shell uname -m)-unknown-linux-gnu

BINARY = target/release/shmtool
COMPLETIONS = \
	$(datadir)/bash-completion/completions/shmtool \
	$(datadir)/zsh/site-functions/_shmtool \
	$(datadir)/fish/vendor_completions.d/shmtool.fish

build:
	$(CARGO) build --release --locked --target-dir target

# What is built is not built again, so that root need not have Rust: make && sudo make install.
$(BINARY):
	$(MAKE) build

install: $(BINARY)
	$(INSTALL) -D -m 755 $(BINARY) $(DESTDIR)$(bindir)/shmtool
	for page in man/*.1; do $(INSTALL) -D -m 644 $$page $(DESTDIR)$(mandir)/man1/$${page#man/} || exit; done
	$(INSTALL) -D -m 644 completions/shmtool.bash $(DESTDIR)$(word 1,$(COMPLETIONS))
	$(INSTALL) -D -m 644 completions/_shmtool $(DESTDIR)$(word 2,$(COMPLETIONS))
	$(INSTALL) -D -m 644 completions/shmtool.fish $(DESTDIR)$(word 3,$(COMPLETIONS))

uninstall:
	rm -f $(DESTDIR)$(bindir)/shmtool $(addprefix $(DESTDIR),$(COMPLETIONS))
	for page in man/*.1; do rm -f $(DESTDIR)$(mandir)/man1/$${page#man/}; done

# One file that needs nothing else, not even a C library: target/$(TARGET)/release/shmtool.
static:
	RUSTFLAGS='-C target-feature=+crt-static' $(CARGO) build --release --locked --target-dir target --target $(TARGET)

# A Debian package in target/debian. Needs cargo-deb.
deb:
	$(CARGO) deb --locked

clean:
	$(CARGO) clean --target-dir target

.PHONY: build install uninstall static deb clean
