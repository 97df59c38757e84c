# kvsim. `make help` lists the targets.
export LC_ALL := C
FLAVOUR ?= release
B := build/$(FLAVOUR)
CC ?= gcc
CFLAGS_release := -O2
CFLAGS_debug := -O0
CFLAGS_o3 := -O3 -march=native
CFLAGS_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
PKGS := gsl yaml-0.1 zlib hdf5 libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lhdf5_hl -lm
CFLAGS := -std=c17 -D_POSIX_C_SOURCE=200809L -g -ffp-contract=off $(CFLAGS_$(FLAVOUR)) $(WARN) -I. -I$(B) $(PKG_CFLAGS)
LDFLAGS := $(if $(filter san,$(FLAVOUR)),-fsanitize=address,undefined)

PLUGIN_DIRS := models/compute policies/evict policies/route policies/sched traces/reader
PLUGIN_SRC := $(sort $(foreach d,$(PLUGIN_DIRS),$(wildcard $d/*.c)))
LIB_SRC := sim/plug.c $(sort $(wildcard sim/base/*.c sim/lib/*.c sim/engine/*.c sim/conf/*.c sim/scenario/*.c sim/serve/*.c sim/out/*.c)) $(PLUGIN_SRC)
CLI_SRC := $(sort $(wildcard sim/cli/*.c))
obj = $(patsubst %.c,$(B)/%.o,$1)
TEST_SRC := $(sort $(shell find tests -name 'test_*.c' 2>/dev/null))
TEST_LIB_SRC := $(sort $(wildcard tests/oracle/*.c tests/support/*.c))
TEST_BIN := $(patsubst %.c,$(B)/%,$(TEST_SRC))

.PHONY: all
all: kvsim
kvsim: $(B)/kvsim
	@cp -f $< $@
$(B)/kvsim: $(call obj,$(CLI_SRC)) $(B)/libkvsim.a
	$(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(B)/libkvsim.a: $(call obj,$(LIB_SRC))
	@rm -f $@; ar rcs $@ $^
$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
# One line a plug-in, from the file names; rewritten only when the list changes.
$(B)/registry.inc: FORCE
	@mkdir -p $(@D)
	@for f in $(PLUGIN_SRC); do echo "KV_PLUGIN($$(basename $$(dirname $$f)), $$(basename $$f .c))"; done > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/sim/plug.o: $(B)/registry.inc
$(B)/tests/%: $(B)/tests/%.o $(call obj,$(TEST_LIB_SRC)) $(B)/libkvsim.a
	$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(PKG_LIBS)
.PHONY: tests FORCE
tests: $(TEST_BIN)
FORCE:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
