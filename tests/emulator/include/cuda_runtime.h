// The CUDA runtime as the emulator serves it: names, values and signatures are those of CUDA 13.0,
// and only what the backend and its kernels use is there.
#pragma once
#define KVPROF_CUDA_EMULATED 1
#define CUDART_VERSION 13000

#include "emulated/device_builtins.h"
#include "emulated/driver_types.h"
#include "emulated/launch.h"
#include "emulated/runtime_api.h"
#include "emulated/shared_memory.h"
#include "emulated/vector_types.h"
