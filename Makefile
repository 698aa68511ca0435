# Builds and installs from source: make install PREFIX=$HOME/.local. Packagers set DESTDIR.

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
datadir ?= $(PREFIX)/share
mandir ?= $(datadir)/man
unitdir ?= $(PREFIX)/lib/systemd/system

CARGO ?= cargo
INSTALL ?= install
# The machines for which `make static` and `make dist` build.
ARCHS ?= x86_64 aarch64

BINARY = target/release/shmtool
COMPLETIONS = \
	$(datadir)/bash-completion/completions/shmtool \
	$(datadir)/zsh/site-functions/_shmtool \
	$(datadir)/fish/vendor_completions.d/shmtool.fish
HOOKS = before-job.sh slurm-epilog.sh
UNITS = shmtool-sweep.service shmtool-sweep.timer
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p;T;q' Cargo.toml)

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
	for hook in $(HOOKS); do $(INSTALL) -D -m 755 contrib/hooks/$$hook $(DESTDIR)$(datadir)/shmtool/hooks/$$hook || exit; done
	for unit in $(UNITS); do $(INSTALL) -D -m 644 contrib/systemd/$$unit $(DESTDIR)$(unitdir)/$$unit || exit; done
	sed -i 's|^ExecStart=/usr/bin/|ExecStart=$(bindir)/|' $(DESTDIR)$(unitdir)/shmtool-sweep.service

uninstall:
	rm -f $(DESTDIR)$(bindir)/shmtool $(addprefix $(DESTDIR),$(COMPLETIONS))
	rm -f $(addprefix $(DESTDIR)$(datadir)/shmtool/hooks/,$(HOOKS)) $(addprefix $(DESTDIR)$(unitdir)/,$(UNITS))
	for page in man/*.[17]; do rm -f $(DESTDIR)$(mandir)/man$${page##*.}/$${page#man/}; done

# Static binaries that need no C library: target/ARCH-unknown-linux-musl/release/shmtool.
static: $(addprefix static-,$(ARCHS))

# rust-lld is part of Rust, and links for every machine, so no C compiler for ARCH is needed. The binary depends neither on
# the directory where it is built, nor on the one where cargo keeps the dependencies.
STATIC_FLAGS = -C linker=rust-lld --remap-path-prefix=$(CURDIR)=shmtool --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=cargo
static-%:
	RUSTFLAGS='$(STATIC_FLAGS)' $(CARGO) build --release --locked --target-dir target --target $*-unknown-linux-musl

# Archives of the static binaries with everything that belongs to them, and their checksums: target/dist.
dist: static
	rm -rf target/dist
	for arch in $(ARCHS); do tools/dist.sh $(VERSION) $$arch || exit; done
	cd target/dist && sha256sum *.tar.gz > SHA256SUMS

# Boots a kernel and tests the static binary on it: make test-kernel KERNEL=path/to/vmlinuz
test-kernel: static-x86_64
	tools/test-kernel.sh target/x86_64-unknown-linux-musl/release/shmtool $(KERNEL)

# Builds a Debian package in target/debian. Needs cargo-deb.
deb:
	$(CARGO) deb --locked

clean:
	$(CARGO) clean --target-dir target

.PHONY: build install uninstall static dist test-kernel deb clean
