// The emulator has one header for both names of the CUDA runtime's.
#pragma once
#include <cuda_runtime.h>
