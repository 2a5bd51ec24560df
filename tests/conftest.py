import os

os.environ["KERAS_BACKEND"] = "jax"
import jax

jax.config.update("jax_num_cpu_devices", 4)
