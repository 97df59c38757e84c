# SPDX-License-Identifier: Apache-2.0
# kvsim. `make help` lists the targets. Sources are found by folder: a new file needs no line here.
export LC_ALL := C
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)# the default; -jN on the command line wins
endif

FLAVOUR ?= release
B := build/$(FLAVOUR)
PREFIX ?= /usr/local
CC := gcc
PKGS := gsl yaml-0.1 zlib hdf5 libcrypto
# Not needed, but several times faster than zlib where it is. The sanitizer build does without, so both are tested.
ISAL := $(if $(filter san,$(FLAVOUR)),,$(shell pkg-config --exists libisal 2>/dev/null && echo libisal))
PKG_FOUND := $(shell pkg-config --exists $(PKGS) 2>/dev/null && echo yes)
CFLAGS_release := -O2
CFLAGS_debug := -O0
CFLAGS_o3 := -O3 -march=native
CFLAGS_san := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
# No contraction: a fused multiply-add would make results depend on the machine.
CFLAGS := -std=c17 -D_POSIX_C_SOURCE=200809L -g -ffp-contract=off $(CFLAGS_$(FLAVOUR)) $(WARN) -I. -I$(B) \
          $(shell pkg-config --cflags $(PKGS) $(ISAL) 2>/dev/null) $(if $(ISAL),-DKV_HAVE_ISAL)
LDFLAGS_san := -fsanitize=address,undefined
LDFLAGS := $(LDFLAGS_$(FLAVOUR))
# HDF5 comes out of its archive where one can be linked: Debian's shared one brings 30 libraries of a web client along,
# and loading them takes 12 ms of CPU at each start, more than to simulate some hundred requests.
HDF5_LIBS := $(filter -L%,$(shell pkg-config --libs-only-L hdf5 2>/dev/null)) -Wl,-Bstatic -lhdf5_hl -lhdf5 -lsz -laec \
             -Wl,-Bdynamic
HDF5_ARCHIVE := $(shell echo 'int H5DSset_scale(int, int); int main(void) { return H5DSset_scale(0, 0); }' | \
                  $(CC) -x c -o /dev/null - $(HDF5_LIBS) -lz -lm -lpthread 2>/dev/null && echo yes)
LIBS := $(shell pkg-config --libs $(filter-out $(if $(HDF5_ARCHIVE),hdf5),$(PKGS)) $(ISAL) 2>/dev/null) \
        $(if $(HDF5_ARCHIVE),$(HDF5_LIBS) -lz -lpthread,-lhdf5_hl) -lm

# Each command as one short line; V=1 shows it whole.
say = $(if $(V),,@echo "  $1";)

# A plug-in is FAMILY_FOLDER/NAME.c; the last folder is the family.
PLUGIN_SRC := $(sort $(wildcard models/*/*.c policies/*/*.c traces/*/*.c))
CLI_SRC := $(sort $(wildcard sim/cli/*.c))
LIB_SRC := $(sort $(wildcard sim/*.c) $(filter-out $(CLI_SRC),$(wildcard sim/*/*.c))) $(PLUGIN_SRC)
TEST_LIB_SRC := $(sort $(wildcard tests/oracle/*.c tests/support/*.c))
KINDS := test_* $(if $(KVSIM_FULL),slow_*)
find_tests = $(sort $(foreach kind,$(KINDS),$(shell find tests -name '$(kind).$1' 2>/dev/null)))
TEST_SH := $(call find_tests,sh)
BENCH_BIN := $(patsubst %.c,$(B)/%,$(sort $(wildcard tests/bench/bench_*.c)))

# CUDA is there with nvcc (`make NVCC=`: without) and the header of cuBLASLt beside it; NCCL is taken where it is.
# Kernels are the same in every flavour, so they are built once, into build/cuda.
NVCC ?= $(shell command -v nvcc 2>/dev/null)
CUDA_HOME := $(if $(NVCC),$(patsubst %/bin/nvcc,%,$(realpath $(shell command -v $(lastword $(NVCC)) 2>/dev/null))))
CUDA := $(if $(CUDA_HOME),$(if $(wildcard $(CUDA_HOME)/include/cublasLt.h),cuda))
NCCL := $(if $(CUDA),$(if $(wildcard $(CUDA_HOME)/include/nccl.h /usr/include/nccl.h),nccl))
CUDA_ARCHS ?= 80 90 100 120
CUDA_ARCHS_HERE := $(if $(CUDA),$(filter $(CUDA_ARCHS),$(patsubst compute_%,%,$(shell $(NVCC) --list-gpu-arch))))
# The oldest also as PTX, which devices to come translate themselves.
NVCCFLAGS := -std=c++17 -O3 -I. --Werror all-warnings -Xcompiler -Wall \
    $(foreach a,$(CUDA_ARCHS_HERE),-gencode arch=compute_$a,code=sm_$a) \
    $(foreach a,$(firstword $(CUDA_ARCHS_HERE)),-gencode arch=compute_$a,code=compute_$a)
comma := ,
CUDA_LIBS := $(if $(CUDA),-L$(CUDA_HOME)/lib64 -Wl$(comma)-rpath$(comma)$(CUDA_HOME)/lib64 -lcublasLt \
    $(if $(NCCL),-lnccl) -lcudart_static -lstdc++ -lrt -ldl)
cu_obj = $(patsubst %.cu,build/cuda/%.o,$(wildcard calib/$1/*.cu))

# Programs that measure, kvsim-calib-NAME of calib/NAME/*.c, where their package is there; kvsim itself never links one.
CALIB_storage := libcurl
CALIB_net := ucx
CALIB_layers := libcurl
CALIB_gpu := cuda
# serve is built without CUDA too, but then lacks its device of that kind.
SERVE_CUDA := $(if $(CUDA),serve_cuda)
CALIB_WITH_serve := $(SERVE_CUDA)
calib_cuda = $(filter cuda,$(CALIB_$1))$(CALIB_WITH_$1)
# What of calib/lib needs a package.
CALIB_LIB_s3 := libcurl
CALIB_PKGS := $(sort $(CALIB_storage) $(CALIB_net) $(CALIB_layers))
CALIB_THERE := $(strip $(foreach p,$(CALIB_PKGS),$(shell pkg-config --exists $p 2>/dev/null && echo $p)))
calib_lacks = $(filter-out $(CALIB_THERE) $(CUDA),$1)
CALIB_KNOWN := $(foreach n,storage net layers gpu serve,$(if $(wildcard calib/$n/*.c),$n))
CALIB := $(foreach n,$(CALIB_KNOWN),$(if $(call calib_lacks,$(CALIB_$n)),,$n))
CALIB_LEFT_OUT := $(filter-out $(CALIB),$(CALIB_KNOWN))
CALIB_SRC := $(sort $(foreach n,$(CALIB) $(CUDA) $(SERVE_CUDA),$(wildcard calib/$n/*.c)))
CALIB_LIB_SRC := $(sort $(foreach f,$(wildcard calib/lib/*.c),\
    $(if $(call calib_lacks,$(CALIB_LIB_$(basename $(notdir $f)))),,$f)))
# Their tests go with them; those of gpu need no CUDA.
TEST_C := $(filter-out $(addprefix tests/calib/,$(addsuffix /%,$(filter-out gpu,$(CALIB_LEFT_OUT)))) \
    $(foreach f,s3,\
    $(if $(call calib_lacks,$(CALIB_LIB_$f)),tests/calib/lib/test_$f.c)),$(call find_tests,c))
TEST_BIN := $(patsubst %.c,$(B)/%,$(TEST_C))
CALIB_BIN := $(patsubst %,$(B)/kvsim-calib-%,$(CALIB))
obj = $(patsubst %.c,$(B)/%.o,$1)
# What the tests of serve link; those of its CUDA device bring what stands in for calib/cuda.
SERVE_OBJ := $(call obj,$(filter-out %/main.c,$(wildcard calib/serve/*.c)))
SERVE_CUDA_OBJ := $(call obj,$(wildcard calib/serve_cuda/*.c) calib/cuda/reference.c)

.PHONY: all calib
all: kvsim calib            ## build ./kvsim and the programs that measure
kvsim: $(B)/kvsim
	@cp -f $< $@
calib: $(patsubst %,kvsim-calib-%,$(CALIB))  ## build the programs that measure: kvsim-calib-NAME
	@$(foreach n,$(CALIB_LEFT_OUT),echo "  kvsim-calib-$n is left out: it needs $(call calib_lacks,$(CALIB_$n))";) :
kvsim-calib-%: $(B)/kvsim-calib-%
	@cp -f $< $@
.SECONDEXPANSION:
$(CALIB_BIN): $(B)/kvsim-calib-%: $$(foreach n,$$* $$(CALIB_WITH_$$*),\
    $$(call obj,$$(wildcard calib/$$n/*.c)) $$(call cu_obj,$$n)) \
    $$(if $$(call calib_cuda,$$*),$(B)/libcuda_ops.a) $(B)/libcalib.a $(B)/libkvsim.a
	$(call say,link $@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) $(if $(call calib_cuda,$*),$(CUDA_LIBS),\
	    $(shell pkg-config --libs $(CALIB_$*) 2>/dev/null)) -lpthread
$(B)/libcuda_ops.a: $(call obj,$(wildcard calib/cuda/*.c)) $(call cu_obj,cuda)
	@rm -f $@; ar rcs $@ $^
build/cuda/%.o: %.cu Makefile
	@mkdir -p $(@D)
	$(call say,nvcc $<)$(filter %ccache,$(firstword $(CC))) $(NVCC) $(NVCCFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<
$(B)/libcalib.a: $(call obj,$(CALIB_LIB_SRC))
	@rm -f $@; ar rcs $@ $^
$(B)/calib/%.o: CFLAGS += $(shell pkg-config --cflags $(CALIB_THERE) 2>/dev/null) \
    $(if $(CUDA),-isystem $(CUDA_HOME)/include -DKV_HAVE_CUDA) $(if $(NCCL),-DKV_HAVE_NCCL)
$(B)/kvsim: $(call obj,$(CLI_SRC)) $(B)/libkvsim.a
	$(call say,link $@)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)
$(B)/libkvsim.a: $(call obj,$(LIB_SRC))
	@rm -f $@; ar rcs $@ $^
$(B)/%.o: %.c Makefile
	$(if $(PKG_FOUND),,$(error a library or pkg-config is missing: run `make deps`))
	@mkdir -p $(@D)
	$(call say,cc $<)$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/tests/%: $(B)/tests/%.o $(call obj,$(TEST_LIB_SRC)) $(B)/libkvsim.a
	$(call say,link $@)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS)
# Named one by one: a pattern alone would give way to the one above where make has not yet heard of an object.
$(filter $(B)/tests/calib/%,$(TEST_BIN)): $(B)/tests/calib/%: $(B)/tests/calib/%.o $(call obj,$(TEST_LIB_SRC)) \
    $$(if $$(findstring serve,$$*),$(SERVE_OBJ)) $$(if $$(findstring serve_cuda/,$$*),$(SERVE_CUDA_OBJ)) \
    $(B)/libcalib.a $(B)/libkvsim.a
	$(call say,link $@)$(CC) $(LDFLAGS) -o $@ $^ -lcmocka $(LIBS) \
	    $(shell pkg-config --libs $(CALIB_THERE) 2>/dev/null) -lpthread
# One line a plug-in, from the file names; rewritten only when the list changes.
$(B)/registry.inc: FORCE
	@mkdir -p $(@D)
	@for f in $(PLUGIN_SRC); do echo "KV_PLUGIN($$(basename $$(dirname $$f)), $$(basename $$f .c))"; done > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/sim/plug.o: $(B)/registry.inc
# What results say about the program that wrote them.
$(B)/facts.inc: FORCE
	@mkdir -p $(@D)
	@{ echo '#define KV_GIT "'$$(git describe --always --dirty 2>/dev/null || echo unknown)'"'; \
	   echo '#define KV_CFLAGS_TEXT "$(strip $(CFLAGS_$(FLAVOUR)) $(if $(ISAL),isal))"'; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
$(B)/sim/out/results.o: $(B)/facts.inc
-include $(shell find $(B) build/cuda -name '*.d' 2>/dev/null)
.PHONY: FORCE
FORCE:

# Packages may arrive while make runs, and flags are computed when it starts: hence the second make (+: same jobs).
again = +@$(MAKE) --no-print-directory

.PHONY: deps demo check check-full san tests check-now
deps:                       ## install the Debian packages that building and testing need
	@.ci/deps.sh check
demo:                       ## install packages, build, replay the bundled trace, draw a picture
	@.ci/deps.sh build
	$(again) kvsim
	./kvsim run configs/quickstart.yaml -o results.h5 --force
	./kvsim plot results.h5 overview -o results.svg --force
	@echo "wrote results.h5 and results.svg"
check:                      ## install packages, build, run the tests
	@.ci/deps.sh check
	$(again) kvsim calib check-now
check-full: export KVSIM_FULL := 1
check-full:                 ## check, and everything slow
	@.ci/deps.sh check
	$(again) kvsim calib check-now
san:                        ## all tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@.ci/deps.sh check
	$(again) FLAVOUR=san check-now
tests: $(TEST_BIN) $(B)/kvsim $(CALIB_BIN)
# Tests of the house and of planted faults build copies of the tree themselves: a sanitised program changes nothing in them.
check-now: tests
	@KVSIM=$(B)/kvsim FLAVOUR=$(FLAVOUR) tests/run.sh $(TEST_BIN) \
	    $(if $(filter san,$(FLAVOUR)),$(filter-out tests/house/% tests/mutations/%,$(TEST_SH)),$(TEST_SH))

.PHONY: tidy bench install clean help
TIDY_SRC := $(CLI_SRC) $(LIB_SRC) $(CALIB_SRC) $(CALIB_LIB_SRC) $(TEST_LIB_SRC)
tidy: $(call obj,$(TIDY_SRC)) $(if $(CUDA),$(foreach n,cuda $(CALIB) $(SERVE_CUDA),$(call cu_obj,$n))) $(addsuffix .o,$(TEST_BIN) $(BENCH_BIN)) ## check the rules of the house
	@CALIB_LEFT_OUT='$(CALIB_LEFT_OUT) $(if $(CUDA),,cuda serve_cuda)' tests/tidy/tidy.sh $(B)
bench: kvsim $(BENCH_BIN)   ## CPU time, memory and instruction counts of configs/bench, and of flows
	@tests/bench/bench.sh
	@for program in $(BENCH_BIN); do echo; $$program || exit 1; done
.PHONY: fidelity
fidelity: kvsim             ## compare with real vLLM runs (needs ../shared); fails while a figure is past its bar
	@failed=0; for part in silicon fidelity; do tests/fidelity/$$part.sh || [ $$? = 77 ] || failed=1; done; exit $$failed
.PHONY: compare-serve
compare-serve: kvsim calib  ## serve on a GPU, simulate the same, compare; PROFILE=FOLDER COPIES=50GB/s (calibration.md)
	@tests/fidelity/compare_serve.sh build/compare_serve $(if $(PROFILE),--profile $(PROFILE)) \
	    $(if $(COPIES),--copies $(COPIES)) || [ $$? = 77 ]
.PHONY: validate-storage
validate-storage:           ## compare with real fetches from a real S3 server over a capped link (needs root; minutes)
	@.ci/deps.sh storage
	$(again) kvsim calib
	@tests/validate/validate.sh
.PHONY: reproduce
reproduce: kvsim            ## run published systems and compare with what was published; SYSTEM=NAME: one of them
	@KVSIM=./kvsim $(or $(PYTHON),/usr/bin/python3) analysis/reproduce.py \
	    $(or $(addprefix configs/systems/,$(SYSTEM)),$(patsubst %/,%,$(wildcard configs/systems/*/)))
install: kvsim calib        ## install under PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 kvsim $(patsubst %,kvsim-calib-%,$(CALIB)) $(DESTDIR)$(PREFIX)/bin
	./kvsim man > $(DESTDIR)$(PREFIX)/share/man/man1/kvsim.1
	for f in models/data/*.yaml models/gpus/*.yaml models/stores/*.yaml $(wildcard models/stores/*/*) \
	    models/links/*.yaml models/profiles/*/* configs/*.yaml configs/serve/* configs/systems/*/* traces/sample/* \
    analysis/*.py; do \
	    install -D -m 644 $$f $(DESTDIR)$(PREFIX)/share/kvsim/$$f || exit 1; done
clean:                      ## remove what make built
	rm -rf build kvsim kvsim-calib-* results.h5 results.svg
help:                       ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'
